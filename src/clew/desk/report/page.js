"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const places = [...document.querySelectorAll("[data-chart]")];
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function layoutOf(chart) {
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line") };
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("text"), family: "system-ui, sans-serif", size: 12 },
      margin: { l: 64, r: 20, t: 40, b: 40 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("text") } },
      colorway: ["c0", "c3", "c2", "c4"].map(colour),
      dragmode: "zoom",
      ...chart.layout,
      // The range is a copy, since plotly writes what is zoomed to into it.
      xaxis: { ...axis, type: "date", ...chart.layout.xaxis, range: [...chart.layout.xaxis.range] },
    };
    for (const name of ["yaxis", "yaxis2"]) {
      if (name in chart.layout) layout[name] = { ...axis, ...chart.layout[name] };
    }
    return layout;
  }

  function tracesOf(chart) {
    const named = { ok: colour("bar"), failed: colour("bad"), "error rate": colour("bad") };
    return chart.data.map((trace) => {
      if (trace.type === "heatmap") {
        return { ...trace, colorscale: [[0, colour("heat0")], [1, colour("heat1")]] };
      }
      if (!(trace.name in named)) return trace;
      return { ...trace, marker: { color: named[trace.name] }, line: { color: named[trace.name], width: 1 } };
    });
  }

  function draw() {
    const options = { displayModeBar: false, responsive: true };
    return Promise.all(places.map((place) => {
      const chart = charts[place.dataset.chart];
      return Plotly.react(place, tracesOf(chart), layoutOf(chart), options);
    }));
  }

  // What happened at one time stands at one place in all charts, whichever of them is zoomed.
  function zoomTogether(place) {
    place.on("plotly_relayout", (change) => {
      const range = "xaxis.range[0]" in change ? [change["xaxis.range[0]"], change["xaxis.range[1]"]] : null;
      if (!range && !change["xaxis.autorange"]) return;
      for (const other of places) {
        const wanted = range || charts[other.dataset.chart].layout.xaxis.range;
        if (String(other.layout.xaxis.range) !== String(wanted)) Plotly.relayout(other, { "xaxis.range": [...wanted] });
      }
    });
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
  draw().then(() => {
    places.forEach(zoomTogether);
    document.documentElement.dataset.drawn = String(places.length);
  });
})();
