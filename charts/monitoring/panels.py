"""What our dashboards have in common: how a query, a panel and a board look.

Every query is of the namespaces that are chosen, every rate over Grafana's own interval, and
every panel has a unit and says what it means: somebody reads it for the first time at night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "llm-gateway"
# A row of Grafana's grid.
FULL, HALF, THIRD, QUARTER = 24, 12, 8, 6

# By legend. A legend of "" is the name of the series.
Queries = Mapping[str, str]


# --- queries ---------------------------------------------------------------------


def of(metric: str, *matchers: str, **labels: str) -> str:
    """The series of *metric*, of the namespaces that are chosen.

    *labels*: their values, or regular expressions with a `|` in them.
    """
    wanted = [f'{name}{"=~" if "|" in value else "="}"{value}"' for name, value in labels.items()]
    inside = ", ".join(['namespace=~"$namespace"', *matchers, *wanted])
    return f"{metric}{{{inside}}}"


def rate(metric: str, *matchers: str, **labels: str) -> str:
    return f"rate({of(metric, *matchers, **labels)}[$__rate_interval])"


def total(metric: str, *matchers: str, by: str = "", **labels: str) -> str:
    """The rates of all its series together, or those of each *by*."""
    group = f" by ({by})" if by else ""
    return f"sum{group} ({rate(metric, *matchers, **labels)})"


def quantile(q: float, histogram: str, *matchers: str, by: str = "", **labels: str) -> str:
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {total(f'{histogram}_bucket', *matchers, by=group, **labels)})"


def quantiles(histogram: str, *matchers: str) -> Queries:
    return {f"p{q * 100:.0f}": quantile(q, histogram, *matchers) for q in (0.5, 0.95, 0.99)}


def mean(summary: str, *, by: str) -> str:
    """Of the last minutes, from a sum and a count."""
    return f"{total(f'{summary}_sum', by=by)} / {total(f'{summary}_count', by=by)}"


# --- panels ----------------------------------------------------------------------


def graph(
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    *,
    width: int = HALF,
    stacked: bool = False,
    exemplars: bool = False,
    limits: Sequence[tuple[float, str]] = (),
    minimum: float | None = 0,
    maximum: float | None = None,
) -> timeseries.Panel:
    """Lines over time. *limits*: from which value on it is drawn in which colour."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .height(8)
        .span(width)
        .fill_opacity(30 if stacked else 5)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if minimum is not None:
        panel = panel.min(minimum)
    if maximum is not None:
        panel = panel.max(maximum)
    if limits:
        panel = panel.thresholds(_thresholds(limits)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    for legend, expr in queries.items():
        panel = panel.with_target(_query(expr, legend).exemplar(exemplars))
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    width: int = 4,
    limits: Sequence[tuple[float, str]] = (),
    decimals: int | None = None,
) -> stat.Panel:
    """One figure: the last one."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .height(4)
        .span(width)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(limits))
        .with_target(_query(expr, ""))
    )
    return panel if decimals is None else panel.decimals(decimals)


def rows(
    title: str,
    description: str,
    queries: Queries,
    *,
    by: str,
    units: Mapping[str, str] | None = None,
    width: int = FULL,
) -> table.Panel:
    """A table: a row for each value of the label *by*, a column for each query. *units*: of
    columns that are no mere numbers."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .unit("short")
        .datasource(DATASOURCE)
        .height(9)
        .span(width)
        .filterable(True)
    )
    for column, unit in (units or {}).items():
        panel = panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=unit)])
    names = {}
    for number_, (column, expr) in enumerate(queries.items()):
        ref = chr(ord("A") + number_)
        names[f"Value #{ref}"] = column
        panel = panel.with_target(
            _query(expr, "").instant().format(PromQueryFormat.TABLE).ref_id(ref)
        )
    return panel.transformations(
        [
            DataTransformerConfig(id_val="joinByField", options={"byField": by, "mode": "outer"}),
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {f"Time {n + 1}": True for n in range(len(names))}
                    | {"Time": True},
                    "renameByName": names,
                },
            ),
        ]
    )


def _query(expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend)


def _thresholds(limits: Sequence[tuple[float, str]]) -> builders.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    steps += [Threshold(value=value, color=colour) for value, colour in limits]
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


# --- boards ----------------------------------------------------------------------

Panel = timeseries.Panel | stat.Panel | table.Panel


def board(
    uid: str,
    title: str,
    description: str,
    content: Mapping[str, Sequence[Panel]],
    *,
    since: str = "now-1h",
    variables: Sequence[builders.QueryVariable] = (),
) -> Dashboard:
    """A dashboard: rows by their titles, with links to all the others."""
    made = (
        builders.Dashboard(f"LLM gateway / {title}")
        .uid(f"llm-gateway-{uid}")
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time(since, "now")
        .timezone("browser")
        .tooltip(
            DashboardCursorSync.CROSSHAIR
        )  # a crosshair through all panels: what happened at the same time
        .with_variable(
            builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(variable("namespace", "Namespace", "label_values(gw_build_info, namespace)"))
        .link(
            builders.DashboardLink("LLM gateway")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for each in variables:
        made = made.with_variable(each)
    for row, panels in content.items():
        made = made.with_row(builders.Row(row))
        for panel in panels:
            made = made.with_panel(panel)
    return made.build()


def variable(name: str, label: str, query: str) -> builders.QueryVariable:
    """All its values unless some are chosen."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .include_all(True)
        .all_value(".+")
        .multi(True)
    )
