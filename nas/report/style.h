// The style sheet of the page.
#pragma once

#include <string_view>

namespace oche::nas::report {

inline constexpr std::string_view kStyleSheet = R"(
:root { color-scheme: light dark; --ground: #fff; --ink: #20262d; --soft: #626c77; --rule: #d5dae0; --grid: #e9ecf0;
  --blue: #2f6db0; --orange: #c4661f; --green: #2b8a6e; --red: #bd3b4a; --purple: #7d55b3; --brown: #80603c; --grey: #78818b; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15191e; --ink: #e4e8ec; --soft: #9aa4af; --rule: #39424c; --grid: #262d35;
    --blue: #6fa8e0; --orange: #e79a58; --green: #5cc0a0; --red: #ea7a86; --purple: #b494e4; --brown: #c2a078; --grey: #929ca7; }
  svg.cell { filter: invert(0.9) hue-rotate(180deg); }
}
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 68rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 0 0 0.5rem; }
p { margin: 0.4rem 0; max-width: 45rem; }
.note, header p { color: var(--soft); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(26.5rem, 1fr)); gap: 1.75rem 1.5rem; }
.row { display: flex; flex-wrap: wrap; gap: 0.9rem 0.9rem; margin: 0.75rem 0; }
.tables { display: flex; flex-wrap: wrap; gap: 1.5rem 4rem; align-items: flex-start; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; font-size: 0.9rem; margin-bottom: 0.35rem; }
.row figcaption { font-weight: 400; font-size: 0.8rem; margin: 0; }
.row figcaption span { color: var(--soft); margin-left: 0.3rem; }
svg { display: block; max-width: 100%; height: auto; overflow: visible; }
svg.cell polygon[fill="white"] { fill: none; }
.plot text { font-size: 12px; fill: var(--soft); }
.plot.small text { font-size: 10px; }
.plot .legend text, .plot.legend text { fill: var(--ink); }
.plot .y, .plot .end { text-anchor: end; }
.plot .x, .plot .none { text-anchor: middle; }
.plot .axis { stroke: var(--soft); fill: none; }
.plot .grid { stroke: var(--grid); fill: none; }
.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }
.small .line { stroke-width: 1.4; }
.line circle { fill: currentColor; stroke: none; }
.dashed { stroke-dasharray: 5 3; }
.dotted { stroke-dasharray: 1.5 2.5; }
.ink { color: var(--ink); } .blue { color: var(--blue); } .orange { color: var(--orange); } .green { color: var(--green); }
.red { color: var(--red); } .purple { color: var(--purple); } .brown { color: var(--brown); } .grey { color: var(--grey); }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.3rem; }
th, td { text-align: left; font-weight: 400; padding: 0.2rem 1.2rem 0.2rem 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
thead th, tbody th { color: var(--soft); }
td.number, th.number { text-align: right; padding-right: 0; }
.wide { overflow-x: auto; }
.wide td, .wide th { text-align: right; padding: 0.2rem 0 0.2rem 1rem; white-space: nowrap; }
details { margin: 0.75rem 0; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; padding: 0.75rem 1rem; border: 1px solid var(--rule); border-radius: 4px; font: 13px/1.45 ui-monospace, monospace; }
@media print { body { max-width: none; padding: 0; } figure { break-inside: avoid; } }
)";

}  // namespace oche::nas::report
