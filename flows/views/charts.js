// The charts of a view are there as SVG. Where the chart library was loaded, it takes the SVG's place.
"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const NEUTRAL = -1;
  const DASHES = ["solid", "dash", "dot"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon"];

  const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function look(style) {
    if (style === NEUTRAL) return { colour: styleOf("--ink"), dash: "solid", symbol: "circle", width: 3 };
    const colour = styleOf(`--line-${style % 8}`);
    const dash = DASHES[Math.floor(style / 8) % DASHES.length];
    return { colour, dash, symbol: SYMBOLS[style % SYMBOLS.length], width: 2 };
  }

  // The library reads a few tags in texts; what people wrote is shown as it is.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("\n", "<br>");

  function trace(series, isOverTime) {
    const { colour, dash, symbol, width } = look(series.style);
    const isFew = series.x.length <= 60;
    const isLine = series.kind === "line";
    const where = isOverTime ? "%{x|%Y-%m-%d %H:%M}" : "%{x}";
    const note = series.notes ? "<br>%{text}" : "";
    return {
      type: "scatter", name: plain(series.name), x: series.x, y: series.y, text: (series.notes || []).map(plain),
      mode: isLine ? (isFew ? "lines+markers" : "lines") : "markers",
      line: { color: colour, dash, width },
      marker: { color: colour, symbol: isLine ? symbol : `${symbol}-open`, size: isLine ? 6 : 9,
                line: { width: isLine ? 0 : 2 } },
      hovertemplate: `%{y:.4~g} at ${where}${note}<extra>${plain(series.name)}</extra>`,
    };
  }

  // Whole numbers are not written twice: steps of at least 1, round where there are many.
  function wholeStep(width) {
    const rough = Math.max(1, width / 8);
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
  }

  // What is left of `from` is there too: a double click shows it.
  function across(chart) {
    const { low, high, from, to, whole } = chart.x;
    if (chart.time) return { type: "date", ...(from ? { range: [from, to] } : {}) };
    const begin = from === null ? low : from;
    const room = 0.03 * (high - begin);
    return { range: [begin - room, high + room], ...(whole ? { tick0: 0, dtick: wholeStep(high - begin) } : {}) };
  }

  function layout(chart) {
    const axis = { gridcolor: styleOf("--rule"), linecolor: styleOf("--quiet"), zeroline: false };
    return {
      height: 370, margin: { l: 56, r: 12, t: 30, b: 44 }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: styleOf("--ink"), family: "system-ui, DejaVu Sans, sans-serif", size: 12 },
      legend: { orientation: "h", y: -0.24, yanchor: "top", x: 0 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: styleOf("--quiet"), activecolor: styleOf("--ink") },
      showlegend: true,
      xaxis: { ...axis, ...across(chart), title: { text: chart.x.title, standoff: 6 } },
      yaxis: { ...axis, title: { text: chart.y.title }, range: [chart.y.low, 1.04 * chart.y.high] },
      hoverlabel: { align: "left" },
    };
  }

  function draw(place, chart) {
    const options = { responsive: true, displaylogo: false,
                      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toImage"] };
    Plotly.react(place, chart.series.map((one) => trace(one, chart.time)), layout(chart), options);
  }

  // A page that was left open tells its age.
  function tellAge() {
    const age = document.getElementById("age");
    const minutes = Math.round((Date.now() - new Date(age.dataset.made)) / 60000);
    if (minutes >= 5) age.textContent = minutes < 120 ? `, ${minutes} min ago` : `, ${Math.round(minutes / 60)} h ago`;
  }

  document.addEventListener("DOMContentLoaded", () => {
    tellAge();
    setInterval(tellAge, 60000);
    if (typeof Plotly === "undefined") return;
    const charts = [...document.querySelectorAll(".live")].map((figure) => {
      const chart = JSON.parse(figure.querySelector("script").textContent);
      const place = document.createElement("div");
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", chart.title);
      figure.querySelector("figure").replaceWith(place);
      return [place, chart];
    });
    const drawAll = () => charts.forEach(([place, chart]) => draw(place, chart));
    drawAll();
    dark.addEventListener("change", drawAll);
  });
})();
