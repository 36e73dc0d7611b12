# <import-metrics>
"""The plugin's own metrics, as `sluicegate_plugin_PLUGIN__NAME`. Labels must not have values that clients choose."""

from wit_world.imports import metrics as _metrics

from .capability import attempt as _attempt


def count(name, by=1, **labels):
    """Adds to a counter."""
    _attempt("metrics.count", _metrics.count, name, by, _pairs(labels))


def observe(name, value, **labels):
    """Adds a value to a histogram."""
    _attempt("metrics.observe", _metrics.observe, name, value, _pairs(labels))


def _pairs(labels):
    return [(name, str(value)) for name, value in labels.items()]
# </import-metrics>
