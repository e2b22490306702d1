"""Charts of energy: where production went and consumption came from, by month beside a year before, or by day.

Walk: reports.summary -> workbook -> here -> summary_sheet
"""

from typing import Any, NamedTuple

from logger.exports import language
from logger.exports.language import say
from logger.exports.workbook import Workbook
from logger.reports import Report

#: how many rows of a sheet a chart covers, and its size in pixels
ROWS = 19
WIDTH, HEIGHT = 760, 360


class Layer(NamedTuple):
    """One of the parts that a chart stacks."""

    title: str
    column: str
    less: str | None  #: the column that is taken off, where the house has it
    colour: str
    colour_before: str  #: of the year before


CHARTS = {
    "Production": (
        Layer("Used here", "production_kwh", "grid_export_kwh", "#F2A900", "#FBDF9D"),
        Layer("Exported", "grid_export_kwh", None, "#6FA05A", "#C9DEC0"),
    ),
    "Consumption": (
        Layer("Own", "consumption_kwh", "grid_import_kwh", "#F2A900", "#FBDF9D"),
        Layer("Imported", "grid_import_kwh", None, "#4A6FA5", "#B9C8DF"),
    ),
}


def add(out: Workbook, report: Report) -> list[Any]:
    """Write what charts show on a sheet of its own; return the charts that this house can have."""
    drawing = _Drawing(out, report)
    return [drawing.chart(title, layers) for title, layers in CHARTS.items() if drawing.has(layers[0].column)]


class _Drawing:
    """A sheet of numbers, and the charts of them."""

    def __init__(self, out: Workbook, report: Report) -> None:
        self.out, self.report, self.sheet = out, report, out.add_sheet(say("Charts"))
        self.labels = report.column(report.labels[-1])
        self.by_day = report.labels[-1] == "day"
        #: the rows of the report in the order of the chart; None between two months
        self.order: list[int | None] = list(range(len(self.labels))) if self.by_day else self._by_month()
        self.years = [] if self.by_day else sorted({self.labels[at][:4] for at in self.order if at is not None})
        self.x = 1 if self.by_day else 2  #: the next free column
        self._write_labels()

    def has(self, name: str) -> bool:
        """Return whether anything is known of a column."""
        return self.report.totals[name] is not None

    def chart(self, title: str, layers: tuple[Layer, ...]) -> Any:
        """Return a chart of layers."""
        chart = self.out.add_chart("stacked")
        for year in self.years or [None]:
            for layer in layers:
                if self.has(layer.column):
                    self._add(chart, title, layer, year)
        name = say(f"{title} by {'day' if self.by_day else 'month'}")
        if len(self.years) > 1:
            name += say(", {year} beside {before}", year=self.years[-1], before=self.years[0])
        chart.set_title({"name": name, "name_font": {"size": 11}})
        small, lines = {"size": 8}, {"visible": True, "line": {"color": "#E0E0E0"}}
        chart.set_x_axis({
            "num_font": small, "num_format": "d mmm", "date_axis": self.by_day, "text_axis": not self.by_day,
        })  # fmt: skip
        chart.set_y_axis({
            "name": "kWh", "num_format": "#,##0", "num_font": small, "min": 0, "major_gridlines": lines,
        })  # fmt: skip
        chart.set_legend({"position": "bottom", "font": {"size": 9}})
        chart.set_size({"width": WIDTH, "height": HEIGHT})
        return chart

    def _by_month(self) -> list[int | None]:
        columns = [self.report.column(layer.column) for layers in CHARTS.values() for layer in layers]
        known = [at for at in range(len(self.labels)) if any(cells[at] is not None for cells in columns)]
        order: list[int | None] = []
        for month in sorted({self.labels[at][5:] for at in known}):
            order += [*(at for at in known if self.labels[at][5:] == month), None]
        return order[:-1]

    def _write_labels(self) -> None:
        heads = [say("Day")] if self.by_day else [say("Month"), say("Year")]
        self.sheet.write_row(0, 0, heads, self.out.style(bold=True))
        self.sheet.set_column(0, 40, 12)
        self.sheet.fit_to_pages(1, 0)
        self.sheet.freeze_panes(1, len(heads))
        day = self.out.style(num_format="d mmm yyyy", align="left")
        before = ""
        for y, at in enumerate(self.order, start=1):
            if at is None:
                continue
            if self.by_day:
                self.sheet.write_datetime(y, 0, self.labels[at], day)
                continue
            year, month = self.labels[at].split("-")
            name = language.month(int(month))
            self.sheet.write_row(y, 0, ["" if name == before else name, year])
            before = name

    def _add(self, chart: Any, title: str, layer: Layer, year: str | None) -> None:
        """Write the numbers of a layer, and add them to a chart."""
        less = layer.less if layer.less is not None and self.has(layer.less) else None
        heading = say(title if layer.less and less is None else layer.title)
        heading += f" {year}" if year else ""
        self.sheet.write_string(0, self.x, f"{heading} (kWh)", self.out.style(bold=True, text_wrap=True))
        for y, at in enumerate(self.order, start=1):
            if at is not None and (year is None or self.labels[at].startswith(year)):
                value = self._value(at, layer.column, less)
                if value is not None:
                    self.sheet.write_number(y, self.x, value, self.out.style(num_format="#,##0.00"))
        is_newest = year is None or year == self.years[-1]
        chart.add_series({
            "name": heading,
            "categories": [self.sheet.get_name(), 1, 0, len(self.order), 0 if self.by_day else 1],
            "values": [self.sheet.get_name(), 1, self.x, len(self.order), self.x],
            "fill": {"color": layer.colour if is_newest else layer.colour_before},
            "gap": 15,
        })  # fmt: skip
        self.x += 1

    def _value(self, at: int, name: str, less: str | None) -> float | None:
        value: float | None = self.report.column(name)[at]
        if value is None or less is None:
            return value
        other = self.report.column(less)[at]
        return None if other is None else max(0.0, value - other)
