"""The macro-architecture as an SVG picture: a row for each stage, a frame for each run of equal blocks."""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from .complexity import Complexity, Cost, millions
from .structure import Block, Item, Stage

LABELS, WIDEST = 230, 800  # pixels: label column, line of blocks
BOX, GAP, LINE, PAD = 26, 8, 16, 14  # pixels: box height, gaps, text line, a frame's padding
LETTER, FONT = 6.6, "ui-sans-serif, system-ui, Helvetica, Arial, sans-serif"
STYLE = """
  svg { color-scheme: light dark; --ink: #1a1d21; --dim: #5c6570; --paper: #fff; --frame: #5c657014; --line: #aab4be;
        --conv: #d6e6f2; --wide: #f9dcc4; --other: #e2e8e0; --bar: #33658a }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6e9ec; --dim: #9aa4af; --paper: #14171a; --frame: #9aa4af1c;
        --line: #56606a; --conv: #24455c; --wide: #5d4230; --other: #37423a; --bar: #6ea8d1 } }
  text { fill: var(--ink); font-size: 12px } .dim { fill: var(--dim); font-size: 11px } .title { font-size: 18px }
  .stage { font-weight: 600; font-size: 13px } .count { font-weight: 600 } .paper { fill: var(--paper) }
  .frame { fill: var(--frame) } .conv { fill: var(--conv) } .wide { fill: var(--wide) } .other { fill: var(--other) }
  .line { stroke: var(--line); stroke-width: 1.5 } .bar { fill: var(--bar) }
"""


Line = list[tuple[Block, float, float]]
"""Blocks side by side, each with its width and height."""


def to_svg(stages: list[Stage], cost: Complexity) -> str:
    """The picture as text; it follows the reader's light or dark scheme."""
    rows = [_lines(stage) for stage in stages]
    heights = [max(90, sum(_height(line) for line in lines) + GAP) for lines in rows]
    width = LABELS + max(_width(line) for lines in rows for line in lines)
    height = 60 + sum(heights) + GAP
    root = Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:.0f} {height:.0f}", "font-family": FONT},
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
    )
    SubElement(root, "title").text = cost.name
    SubElement(root, "style").text = STYLE
    SubElement(root, "rect", {"class": "paper"}, width="100%", height="100%")
    _text(root, 16, 28, cost.name, "title")
    _text(root, 16, 46, f"{cost.params:,} parameters, {millions(cost.macs)} multiply-accumulates", "dim")
    y, most = 60.0, max(stage.cost.macs for stage in stages)
    for stage, lines, row_height in zip(stages, rows, heights, strict=True):
        rule = {"class": "line", "stroke-opacity": "0.4"}
        SubElement(root, "line", rule, x1="16", x2=f"{width - 16:.0f}", y1=f"{y:.1f}", y2=f"{y:.1f}")
        _draw_labels(root, stage.cost, y, most)
        _draw_lines(root, lines, y + GAP)
        y += row_height
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def _lines(stage: Stage) -> list[Line]:
    """The stage's blocks, broken into lines of at most WIDEST pixels."""
    lines: list[Line] = [[]]
    for block in stage.blocks:
        size = _size(block)
        if lines[-1] and _width([*lines[-1], (block, *size)]) > WIDEST:
            lines.append([])
        lines[-1].append((block, *size))
    return lines


def _width(line: Line) -> float:
    return sum(width + 2 * GAP for _, width, _ in line)


def _height(line: Line) -> float:
    return max((height for _, _, height in line), default=0) + GAP


def _draw_labels(root: Element, cost: Cost, y: float, most: int) -> None:
    """Name, output, cost, and a bar for the share of the multiply-accumulates."""
    _text(root, 16, y + 20, cost.name, "stage")
    _text(root, 16, y + 20 + LINE, " × ".join(map(str, cost.shape)), "dim")
    _text(root, 16, y + 20 + 2 * LINE, f"{millions(cost.params)} params, {millions(cost.macs)} MACs", "dim")
    share = (LABELS - 40) * cost.macs / max(most, 1)
    SubElement(root, "rect", {"class": "bar", "rx": "2"}, **_box(16, y + 20 + 2 * LINE + 8, share, 4))


def _draw_lines(root: Element, lines: list[Line], y: float) -> None:
    for line in lines:
        x, middle = float(LABELS), y + _height(line) / 2 - GAP / 2
        for index, (block, width, height) in enumerate(line):
            if index or line is not lines[0]:
                _line(root, x - 2 * GAP, middle, x, middle)
            _draw_block(root, block, x, middle - height / 2, width, height)
            x += width + 2 * GAP
        y += _height(line)


def _draw_block(root: Element, block: Block, x: float, y: float, width: float, height: float) -> None:
    SubElement(root, "rect", {"class": "frame", "rx": "8"}, **_box(x, y, width, height))
    top, bottom = y + PAD, y + height - PAD - (BOX if block.merge else 0)
    left = x + (width - sum(_branch_width(branch) + 2 * GAP for branch in block.branches)) / 2 + GAP
    for branch in block.branches:
        branch_width = _branch_width(branch)
        if block.merge:
            _line(root, left + branch_width / 2, top - GAP, left + branch_width / 2, bottom + GAP)
        _draw_branch(root, branch, left, top + (bottom - top - _branch_height(branch)) / 2, branch_width)
        left += branch_width + 2 * GAP
    if block.merge:
        SubElement(
            root, "rect", {"class": "other", "rx": "12"}, **_box(x + PAD, bottom + GAP, width - 2 * PAD, BOX - 4)
        )
        _text(root, x + width / 2, bottom + GAP + BOX / 2 + 2, block.merge, anchor="middle")
    if block.count > 1:
        _text(root, x + width - 4, y + 12, f"× {block.count}", "count", anchor="end")


def _draw_branch(root: Element, branch: tuple[Item, ...], x: float, y: float, width: float) -> None:
    for item in branch:
        item_width, height = _item_size(item)
        if isinstance(item, Block):
            _draw_block(root, item, x + (width - item_width) / 2, y, item_width, height)
        else:
            SubElement(root, "rect", {"class": _colour(item), "rx": "5"}, **_box(x, y, width, height))
            _text(root, x + width / 2, y + height / 2 + 4, item, anchor="middle")
        y += height + GAP


def _size(block: Block) -> tuple[float, float]:
    """Width and height of a block's frame."""
    width = sum(_branch_width(branch) + 2 * GAP for branch in block.branches) - 2 * GAP
    width = max(width, len(block.merge) * LETTER + 2 * GAP) + 2 * PAD
    tallest = max(_branch_height(branch) for branch in block.branches)
    return max(width, 60), max(tallest, BOX) + 2 * PAD + (BOX if block.merge else 0)


def _branch_width(branch: tuple[Item, ...]) -> float:
    return max((_item_size(item)[0] for item in branch), default=16)


def _branch_height(branch: tuple[Item, ...]) -> float:
    return sum(_item_size(item)[1] + GAP for item in branch) - GAP


def _item_size(item: Item) -> tuple[float, float]:
    return _size(item) if isinstance(item, Block) else (len(item) * LETTER + 16, BOX)


def _colour(words: str) -> str:
    """Convolutions wider than 1x1 stand out: they cost most."""
    if words.startswith("1×1"):
        return "conv"
    return "wide" if words[0].isdigit() else "other"


def _box(x: float, y: float, width: float, height: float) -> dict[str, str]:
    return {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}


def _line(root: Element, x1: float, y1: float, x2: float, y2: float) -> None:
    SubElement(root, "line", {"class": "line"}, x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}")


def _text(root: Element, x: float, y: float, words: str, kind: str = "", *, anchor: str = "start") -> None:
    attributes = {"class": kind} if kind else {}
    SubElement(root, "text", attributes | {"text-anchor": anchor}, x=f"{x:.1f}", y=f"{y:.1f}").text = words
