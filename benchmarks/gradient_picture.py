"""One picture of a study of gradients: four panels, the means over its methods and seeds. Needs matplotlib."""
import collections
import statistics

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "oche", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3,
                     "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 7})
PLACES = ("start", "middle", "end")
STYLES = {"f64": ("float64", "-"), "f32": ("float32", ":"), "smooth": ("float64, smooth relu", "--")}


def gathered(points, value):
    """[{key: [numbers]}, ...] at start, middle and end, of value(row) = (key, number) over all rows that are valid."""
    found = [collections.defaultdict(list) for _ in PLACES]
    for run in points:
        for place, point in enumerate(run):
            for row in point["rows"] if point else []:
                key, number = value(row)
                if key is not None and number is not None and not row["reference"] and not row["fault"]:
                    found[place][key].append(number)
    return found


def radii(axes, points):
    for name, (title, style) in STYLES.items():
        swept = gathered(points(f"radius-{name}"), lambda r: (r["sweep"]["value"] if "sweep" in r else None, r["error"]["mean"]))
        for place, errors in enumerate(swept):
            if not errors:
                continue
            axes.loglog(sorted(errors), [statistics.mean(errors[r]) for r in sorted(errors)], style, color=f"C{place}",
                        label=f"{PLACES[place]}, {title}")
    plain = gathered(points("one-step"), lambda r: (r["estimator"], r["error"]["mean"]))
    for place, errors in enumerate(plain):
        if errors["first-order"]:
            axes.axhline(statistics.mean(errors["first-order"]), color=f"C{place}", linewidth=0.8, alpha=0.6)
    axes.axvline(0.01, color="black", linewidth=0.8)
    axes.annotate("DARTS", (0.01, 1), xycoords=("data", "axes fraction"), fontsize=7)
    axes.set(xlabel="radius of the finite difference (horizontal lines: first order)", ylabel="relative error, one step")
    axes.legend(ncols=3, loc="lower right", fontsize=6)


def cosines(axes, points):
    found = gathered(points("unrolled"), lambda r: (r["estimator"], r["cosine"]["mean"]))
    names = list(dict.fromkeys(name for values in found for name in values))
    for i, name in enumerate(names):
        here = [(place, values[name]) for place, values in enumerate(found) if values[name]]
        middle = [statistics.mean(v) for _, v in here]
        spread = [[m - min(v) for m, (_, v) in zip(middle, here)], [max(v) - m for m, (_, v) in zip(middle, here)]]
        axes.errorbar([place + 0.02 * (i - len(names) / 2) for place, _ in here], middle, spread, marker="o", markersize=3,
                      linewidth=1, capsize=2, color=plt.cm.tab20(i), label=name)
    axes.set_xticks(range(len(PLACES)), PLACES)
    axes.set(xlabel="of the search", ylabel="cosine with the long unrolled gradient")
    axes.set_ylim(min(-0.4, axes.get_ylim()[0]), 1.02)
    axes.legend(ncols=3, loc="lower right")


def biases(axes, points):
    drawn = [("one-step", "first-order", "first order, by one step"), ("one-step", "finite-difference", "finite difference, by one step"),
             ("unrolled", "first-order", "first order, by many steps"), ("unrolled", "exact-unrolled", "one step, by many steps")]
    for i, (document, estimator, label) in enumerate(drawn):
        found = collections.defaultdict(list)
        for point in [p for run in points(document) for p in run if p]:
            for row in point["rows"]:
                if row["estimator"] == estimator and not row["reference"] and not row["fault"]:
                    for group in row["groups"]:  # tables and edges are no candidates
                        if not group["group"].startswith(("alphas_", "betas_")) and group["bias"] is not None:
                            found[group["group"]].append(group["bias"])
        if not found:
            continue
        axes.bar([x + 0.2 * i for x in range(len(found))], [statistics.mean(v) for v in found.values()], 0.18,
                 yerr=[statistics.pstdev(v) for v in found.values()], error_kw={"linewidth": 0.6}, label=label)
        axes.set_xticks([x + 0.3 for x in range(len(found))], list(found), rotation=25, ha="right", fontsize=6)
    axes.set(ylabel="mean error over the reference's rms\n(below 0: favoured by descent)")
    axes.legend()


def curvature(axes, spectra, gaps):
    other = axes.twinx()
    for i, (run, points) in enumerate(spectra.items()):
        values = {p["epoch"]: s["values"][0] for p in points for s in p["spectra"] if s["of"] == "alpha"}
        axes.plot(sorted(values), [values[e] for e in sorted(values)], "o-", markersize=3, color=f"C{i}", label=f"{run}: eigenvalue")
        other.plot(sorted(gaps[run]), [gaps[run][e] for e in sorted(gaps[run])], ":", color=f"C{i}", label=f"{run}: gap")
    axes.set(xlabel="epoch", ylabel="largest eigenvalue of the alphas' Hessian")
    other.set(ylabel="discretisation gap (dotted)")
    other.grid(False)
    axes.legend()


def draw(path, runs, read, gaps):
    """runs: [(method, seed), ...]; read(method, seed, document) -> points, of which some are None; gaps(method, seed) -> {epoch: gap}.
    Panels of what was not measured are left out."""
    def points(document):
        return [read(*run, document) for run in runs]

    def eigenvalues(axes, points):
        curvature(axes, dict(zip(names, points("hessian"))), dict(zip(names, (gaps(*run) for run in runs))))

    names = [f"{method}, seed {seed}" for method, seed in runs]
    panels = [(radii, "radius-f32"), (cosines, "unrolled"), (biases, "one-step"), (eigenvalues, "hessian")]
    panels = [panel for panel, document in panels if any(point for run in points(document) for point in run)]
    figure, axes = plt.subplots((len(panels) + 1) // 2, min(2, len(panels)), squeeze=False, layout="constrained",
                                figsize=(5 * min(2, len(panels)), 3.75 * ((len(panels) + 1) // 2)))
    for place, panel in zip(axes.flat, panels):
        panel(place, points)
    for place in list(axes.flat)[len(panels):]:
        place.remove()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
