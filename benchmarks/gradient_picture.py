"""One picture of a study of gradients: four panels, every run of it drawn. Needs matplotlib."""
import collections
import statistics

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "oche", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3,
                     "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 6})
PLACES = ("start", "middle", "end")
STYLES = {"f64": ("float64", "-"), "f32": ("float32", ":"), "smooth": ("float64, smooth relu", "--")}
FLOOR = 1e-4  # of the errors that are drawn


def valid_rows(point):
    return [row for row in point["rows"] if not row["reference"] and not row["fault"]] if point else []


def legend_below(axes, columns):
    axes.legend(ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.16))


def radii(axes, points):
    for name, (title, style) in STYLES.items():
        labelled = set()
        for run in points(f"radius-{name}"):
            for place, point in enumerate(run):
                errors = sorted((row["sweep"]["value"], row["error"]["mean"]) for row in valid_rows(point) if "sweep" in row)
                if errors:
                    axes.loglog(*zip(*errors), style, color=f"C{place}", linewidth=0.9,
                                label=None if place in labelled else f"{PLACES[place]}, {title}")
                    labelled.add(place)
    for run in points("one-step"):
        for place, point in enumerate(run):
            for row in valid_rows(point):
                if row["estimator"] == "first-order":
                    axes.axhline(row["error"]["mean"], color=f"C{place}", linewidth=0.6, alpha=0.5)
    axes.axvline(0.01, color="black", linewidth=0.8)
    axes.annotate("DARTS", (0.01, 1), xycoords=("data", "axes fraction"), fontsize=7)
    axes.set_ylim(bottom=FLOOR)
    axes.set(xlabel="radius of the finite difference (horizontal lines: first order)", ylabel="relative error, one step")
    legend_below(axes, 3)


def cosines(axes, points):
    found = collections.defaultdict(lambda: [[] for _ in PLACES])
    for run in points("unrolled"):
        for place, point in enumerate(run):
            for row in valid_rows(point):
                found[row["estimator"]][place].append(row["cosine"]["mean"])
    for i, (name, places) in enumerate(found.items()):
        beside = 0.02 * (i - len(found) / 2)
        here = [(place + beside, values) for place, values in enumerate(places) if values]
        axes.plot([x for x, _ in here], [statistics.mean(v) for _, v in here], linewidth=1, color=plt.cm.tab20(i), label=name)
        axes.plot([x for x, v in here for _ in v], [c for _, v in here for c in v], "o", markersize=2.5, color=plt.cm.tab20(i))
    axes.set_xticks(range(len(PLACES)), PLACES)
    axes.set(xlabel="of the search", ylabel="cosine with the gradient through many steps")
    axes.set_ylim(min(-0.4, axes.get_ylim()[0]), 1.02)
    legend_below(axes, 4)


def biases(axes, points):
    """Of the exact gradient of one step, against many."""
    found = collections.defaultdict(lambda: [[] for _ in PLACES])
    for run in points("unrolled"):
        for place, point in enumerate(run):
            for row in valid_rows(point):
                for group in row["groups"] if row["estimator"] == "exact-unrolled" else []:
                    if not group["group"].startswith(("alphas_", "betas_")):  # tables and edges are no candidates
                        found[group["group"]][place].append(group["bias"])
    for place, name in enumerate(PLACES):
        here = [(x + 0.25 * (place - 1), of[place]) for x, of in enumerate(found.values()) if of[place]]
        axes.bar([x for x, _ in here], [statistics.mean(v) for _, v in here], 0.22, color=f"C{place}", alpha=0.6, label=name)
        axes.plot([x for x, v in here for _ in v], [b for _, v in here for b in v], "o", markersize=2.5, color=f"C{place}")
    axes.set_xticks(range(len(found)), list(found), rotation=25, ha="right", fontsize=6)
    axes.set(ylabel="bias of one step against many\n(below 0: favoured by descent)")
    axes.legend(ncols=3)


def curvature(axes, spectra, gaps):
    other = axes.twinx()
    for i, (run, points) in enumerate((run, points) for run, points in spectra.items() if points):
        alpha = {p["epoch"]: s for p in points for s in p["spectra"] if s["of"] == "alpha"}
        axes.plot(sorted(alpha), [alpha[e]["values"][0] for e in sorted(alpha)], "-", color=f"C{i}", label=f"{run}: eigenvalue")
        each = [(epoch, value) for epoch, s in alpha.items() for value in s["each_batch"]]
        axes.plot(*zip(*each), "o", markersize=2.5, color=f"C{i}", label=f"{run}: of each batch")
        other.plot(sorted(gaps[run]), [gaps[run][e] for e in sorted(gaps[run])], ":", color=f"C{i}")
    axes.set(xlabel="epoch", ylabel="largest eigenvalue of the alphas' Hessian")
    other.set(ylabel="discretisation gap (dotted)")
    other.grid(False)
    legend_below(axes, 2)


def draw(path, runs, read, gaps):
    """runs: [(method, seed), ...]; read(method, seed, document) -> points, of which some are None; gaps(method, seed) -> {epoch: gap}.
    Panels of what was not measured are left out."""
    def points(document):
        return [read(*run, document) for run in runs]

    def eigenvalues(axes, points):
        curvature(axes, dict(zip(names, points("hessian"))), dict(zip(names, (gaps(*run) for run in runs))))

    names = [f"{method}, seed {seed}" for method, seed in runs]
    panels = [(radii, "radius-f32"), (cosines, "unrolled"), (biases, "unrolled"), (eigenvalues, "hessian")]
    panels = [panel for panel, document in panels if any(point for run in points(document) for point in run)]
    figure, axes = plt.subplots((len(panels) + 1) // 2, min(2, len(panels)), squeeze=False, layout="constrained",
                                figsize=(5 * min(2, len(panels)), 4 * ((len(panels) + 1) // 2)))
    for place, panel in zip(axes.flat, panels):
        panel(place, points)
    for place in list(axes.flat)[len(panels):]:
        place.remove()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
