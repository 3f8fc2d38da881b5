"""Charts as inline SVG, made here: axes with units, a title, a text alternative; colours come from the stylesheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log10

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT = 560, 180
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 12, 24
TICKS = 4


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time. ``style``: the name of its colour in the stylesheet."""

    name: str
    style: str
    values: Sequence[int]


def line_chart(
    title: str, labels: Sequence[str], series: Sequence[Series], *, write: Callable[[int], str] = str
) -> SafeString:
    """Draw lines over ``labels``, of which the first, middle and last are shown; ``write`` says a value."""
    top = _round_up(max((value for each in series for value in each.values), default=0))
    lines = format_html_join(
        "", '<polyline class="line {}" points="{}"/>', ((each.style, _points(each.values, top)) for each in series)
    )
    return _framed(title, series, _grid(top, write) + _label_texts(labels) + lines, write)


def bar_chart(title: str, labels: Sequence[str], series: Sequence[Series]) -> SafeString:
    """Draw stacked bars, one a label."""
    totals = [sum(values) for values in zip(*(each.values for each in series), strict=True)]
    top = _round_up(max(totals, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    bars, bases = [], [0] * len(labels)
    for each in series:
        for number, value in enumerate(each.values):
            if value:
                height = _height(value, top)
                x, y = LEFT + number * step, HEIGHT - BOTTOM - _height(bases[number], top) - height
                bars.append((each.style, f"{x + step * 0.1:.1f}", f"{y:.1f}", f"{step * 0.8:.1f}", f"{height:.1f}"))
            bases[number] += value
    drawn = format_html_join("", '<rect class="bar {}" x="{}" y="{}" width="{}" height="{}"/>', bars)
    return _framed(title, series, _grid(top, _count) + _label_texts(labels) + drawn, _count)


def _framed(title: str, series: Sequence[Series], drawn: SafeString, write: Callable[[int], str]) -> SafeString:
    said = "; ".join(f"{each.name}: {write(each.values[-1] if each.values else 0)} last" for each in series)
    return format_html(
        '<figure class="chart"><figcaption>{} {}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg></figure>',
        title,
        format_html_join("", '<span class="key {}">{}</span>', ((each.style, each.name) for each in series)),
        WIDTH,
        HEIGHT,
        title,
        said,
        drawn,
    )


def _count(value: int) -> str:
    return f"{value:,}"


def _grid(top: int, write: Callable[[int], str]) -> SafeString:
    rows = []
    for number in range(TICKS + 1):
        value = top * number // TICKS
        y = HEIGHT - BOTTOM - _height(value, top)
        rows.append((LEFT, f"{y:.1f}", WIDTH - RIGHT, f"{y:.1f}", LEFT - 6, f"{y + 4:.1f}", write(value)))
    return format_html_join(
        "", '<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/><text class="value" x="{}" y="{}">{}</text>', rows
    )


def _label_texts(labels: Sequence[str]) -> SafeString:
    if not labels:
        return mark_safe("")
    width = WIDTH - LEFT - RIGHT
    places = ((0, "first"), (len(labels) // 2, "middle"), (len(labels) - 1, "last"))
    rows = [
        (place, f"{LEFT + width * number / max(len(labels) - 1, 1):.1f}", HEIGHT - 6, labels[number])
        for number, place in places
    ]
    return format_html_join("", '<text class="label {}" x="{}" y="{}">{}</text>', rows)


def _points(values: Sequence[int], top: int) -> str:
    step = (WIDTH - LEFT - RIGHT) / max(len(values) - 1, 1)
    return " ".join(
        f"{LEFT + number * step:.1f},{HEIGHT - BOTTOM - _height(value, top):.1f}" for number, value in enumerate(values)
    )


def _height(value: int, top: int) -> float:
    return (HEIGHT - TOP - BOTTOM) * value / top


def _round_up(value: int) -> int:
    """Return a round number that is not smaller, so that ticks are round as well."""
    if value <= TICKS:
        return TICKS
    magnitude: int = 10 ** int(log10(value))
    for factor in (1, 2, 4, 5, 8, 10):
        if factor * magnitude >= value:
            return ceil(factor * magnitude / TICKS) * TICKS
    return 10 * magnitude
