"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const places = [...document.querySelectorAll("[data-chart]")];
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function layoutOf(chart) {
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), automargin: true };
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("text"), family: "system-ui, sans-serif", size: 12 },
      margin: { l: 56, r: 24, t: 8, b: 36 },
      legend: { orientation: "h", y: 1.12, x: 0 },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("text") } },
      colorway: ["c0", "c3", "c2", "c4"].map(colour),
      dragmode: "zoom",
      ...chart.layout,
      xaxis: { ...axis, type: "date", ...chart.layout.xaxis },
    };
    for (const name of ["yaxis", "yaxis2"]) {
      if (name in chart.layout) layout[name] = { ...axis, ...chart.layout[name] };
    }
    return layout;
  }

  function tracesOf(chart) {
    const named = { ok: colour("c0"), failed: colour("bad"), "error rate": colour("c2") };
    return chart.data.map((trace) => {
      if (trace.type === "heatmap") {
        return { ...trace, colorscale: [[0, colour("heat0")], [1, colour("heat1")]] };
      }
      if (!(trace.name in named)) return trace;
      return { ...trace, marker: { color: named[trace.name] }, line: { color: named[trace.name] } };
    });
  }

  function draw() {
    const options = { displayModeBar: false, responsive: true };
    return Promise.all(places.map((place) => {
      const chart = charts[place.dataset.chart];
      return Plotly.react(place, tracesOf(chart), layoutOf(chart), options);
    }));
  }

  function openTarget() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
      target.querySelector("summary").focus({ preventScroll: true });
    }
  }

  function sortBy(button) {
    const head = button.closest("th");
    const body = button.closest("table").tBodies[0];
    const column = head.cellIndex;
    const descends = head.getAttribute("aria-sort") !== "descending";
    const valueOf = (row) => {
      const cell = row.cells[column];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
    };
    const compare = (one, other) => (typeof one === "number" ? one - other : other.localeCompare(one));
    const rows = [...body.rows].sort((one, other) => compare(valueOf(one), valueOf(other)) * (descends ? -1 : 1));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descends ? "descending" : "ascending");
    body.append(...rows);
  }

  document.querySelectorAll(".sortable thead button").forEach((button) => {
    button.addEventListener("click", () => sortBy(button));
  });
  addEventListener("hashchange", openTarget);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) openTarget();
  });
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    draw();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    draw();
  });
  dark.addEventListener("change", draw);

  openTarget();
  draw().then(() => { document.documentElement.dataset.drawn = String(places.length); });
})();
