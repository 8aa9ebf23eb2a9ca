"""The two plots of a report as inline SVG: shapes only, so that they stretch; their words stand beside them in HTML.

Text inside of an SVG that is scaled to a telephone's width could not be read there.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from onward.engine.questions.account import Step
from onward.runs.memory import Sample

_WIDTH, _HEIGHT = 600.0, 120.0


def throughput(steps: Sequence[Step], step_s: float) -> str:
    """Return a plot of what came to an end in each stretch of time: results, and failures on top of them."""
    if not steps:
        return ""
    top = _ceiling(max(step.processed + step.failed for step in steps))
    wide = _WIDTH / len(steps)
    gap = min(1.0, wide / 5)
    shapes = []
    for number, step in enumerate(steps):
        x, tall = number * wide, _HEIGHT * step.processed / top
        if step.processed:
            shapes.append(_rect("done", x, _HEIGHT - tall, wide - gap, tall))
        if step.failed:
            more = _HEIGHT * step.failed / top
            shapes.append(_rect("fail", x, _HEIGHT - tall - more, wide - gap, more))
    done, failed = sum(step.processed for step in steps), sum(step.failed for step in steps)
    said = f"{done} results and {failed} failed attempts over {span(len(steps) * step_s)}"
    title = f"Attempts that ended in each {span(step_s)}: "
    key = '<span class="key done">results</span>' + (' <span class="key fail">failures</span>' if failed else "")
    return _figure(escape(title) + key, said, "".join(shapes), f"{top:g}", span(len(steps) * step_s))


def memory(samples: Sequence[Sample]) -> str:
    """Return a plot of the memory of the run and its workers; nothing for a single look."""
    if len(samples) < 2:
        return ""
    top_mb = _ceiling(max(one.size_bytes for one in samples) / 1e6)
    began, ended = samples[0].at_s, samples[-1].at_s
    points = [
        ((one.at_s - began) / (ended - began) * _WIDTH, _HEIGHT - one.size_bytes / 1e6 / top_mb * _HEIGHT)
        for one in samples
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    shapes = (
        f'<polygon class="area" points="0,{_HEIGHT:g} {line} {_WIDTH:g},{_HEIGHT:g}"/>'
        f'<polyline class="edge" points="{line}"/>'
    )
    peak = max(one.size_bytes for one in samples)
    said = f"Memory over {span(ended)}, at most {size(peak)}"
    return _figure("Memory of the run and its workers", said, shapes, f"{top_mb:g} MB", span(ended))


def span(seconds: float) -> str:
    """Spell a span for people: `0.2 s`, `45 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    if seconds < 0.0005:
        return "0 s"
    if seconds < 1:
        return f"{seconds:.3f}".rstrip("0") + " s"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min" + (f" {whole % 60:02} s" if whole % 60 else "")
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60:02} min" if minutes % 60 else "")
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def size(size_bytes: int) -> str:
    """Spell a size for people, in powers of 1000."""
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    value = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5 or unit == "GB":
            break
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"


def _figure(caption: str, said: str, shapes: str, top: str, end: str) -> str:
    grid = "".join(
        f'<line class="grid" x1="0" x2="{_WIDTH:g}" y1="{y:g}" y2="{y:g}"/>' for y in (_HEIGHT / 2, _HEIGHT)
    )
    return (
        f"<figure><figcaption>{caption}</figcaption>"
        f'<div class="plot"><div class="axis up"><span>{escape(top)}</span><span>0</span></div>'
        f'<svg role="img" aria-label="{escape(said)}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'preserveAspectRatio="none">{grid}{shapes}</svg>'
        f'<div class="axis on"><span>start</span><span>{escape(end)}</span></div></div></figure>'
    )


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def _ceiling(value: float) -> float:
    """Return the next number of one digit, or 1.5 times a power of ten, that is not below `value`."""
    power = 1.0
    while value > power * 10:
        power *= 10
    while power > 1 and value <= power:
        power /= 10
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)
