"""The kinds of panels, in Grafana's schema."""

from __future__ import annotations

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

GREEN_YELLOW_RED = ("green", "yellow", "red")
RED_YELLOW_GREEN = ("red", "yellow", "green")


def panel(kind, title, description, unit, *targets, width=12, height=8, runbook=None, number=None):
    """A panel of any type with what all have: a description, a unit, queries, a place for when there is nothing."""
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"h": height, "w": width},
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": "No data", "color": {"mode": "palette-classic"}, "custom": {}},
            "overrides": [],
        },
        "options": {},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend, "range": True}
            for at, (expr, legend) in enumerate(targets)
        ],
        "links": [{"title": f"Runbook {runbook}", "url": "${runbooks}/" + runbook + ".md", "targetBlank": True}]
        if runbook
        else [],
    }


def graph(title, description, unit, *targets, calcs=("lastNotNull", "max"), minimum=0, **rest):
    """Lines over time, with a table of models or providers under it."""
    made = panel("timeseries", title, description, unit, *targets, **rest)
    made["fieldConfig"]["defaults"]["custom"] = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "none", "group": "A"},
        "thresholdsStyle": {"mode": "off"},
    }
    if minimum is not None:
        made["fieldConfig"]["defaults"]["min"] = minimum
    made["options"] = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": list(calcs)},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return made


def bars(made):
    """Stacked bars in place of lines."""
    made["fieldConfig"]["defaults"]["custom"] |= {
        "drawStyle": "bars",
        "fillOpacity": 80,
        "stacking": {"mode": "normal", "group": "A"},
    }
    return made


def stacked(made):
    """Areas on top of each other in place of lines."""
    made["fieldConfig"]["defaults"]["custom"] |= {"fillOpacity": 25, "stacking": {"mode": "normal", "group": "A"}}
    return made


def thresholds(made, colours, *bounds, lines=True):
    """The first colour is below all bounds."""
    steps = [{"color": colour, "value": value} for colour, value in zip(colours, (None, *bounds), strict=True)]
    made["fieldConfig"]["defaults"]["thresholds"] = {"mode": "absolute", "steps": steps}
    if lines and made["type"] == "timeseries":
        made["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] = {"mode": "line+area"}
    return made


def gauge(title, description, unit, expr, **rest):
    made = panel("gauge", title, description, unit, (expr, ""), **rest)
    made["fieldConfig"]["defaults"] |= {"min": 0, "max": 100, "color": {"mode": "thresholds"}}
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "auto",
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
    }
    return made


def stat(title, description, unit, *targets, colours=("green",), bounds=(), **rest):
    made = panel("stat", title, description, unit, *targets, **rest)
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "auto",
        "textMode": "auto",
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
    }
    return thresholds(made, colours, *bounds)


def table(title, description, unit, expr, hidden=(), **rest):
    """The samples of now, a column for each label."""
    made = panel("table", title, description, unit, (expr, ""), **rest)
    made["targets"][0] |= {"format": "table", "instant": True, "range": False}
    made["fieldConfig"]["defaults"]["custom"] = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    made["options"] = {"showHeader": True, "cellHeight": "sm"}
    excluded = {name: True for name in ("Time", "__name__", *hidden)}
    made["transformations"] = [
        {"id": "organize", "options": {"excludeByName": excluded, "indexByName": {}, "renameByName": {}}}
    ]
    return made


def heatmap(title, description, unit, expr, **rest):
    made = panel("heatmap", title, description, unit, (expr, "{{le}}"), **rest)
    made["targets"][0]["format"] = "heatmap"
    made["fieldConfig"]["defaults"] = {
        "noValue": "No data",
        "unit": unit,
        "custom": {
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
            "scaleDistribution": {"type": "linear"},
        },
    }
    made["options"] = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {},
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "fill": "dark-orange",
            "exponent": 0.5,
            "reverse": False,
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    return made
