"""Plain tables: a name, then right-aligned cells, columns as wide as they must be."""


def number(value, form="{:.2f}", scale=1):
    """A cell; a dash for what was not measured."""
    return "-" if value is None else form.format(value / scale)


def table(columns, rows):
    """`rows` is a dict of name -> cells; a row of one cell is a remark, which may be long."""
    full = [row for row in rows.values() if len(row) > 1]
    widths = [max(map(len, [head, *(row[k] for row in full)])) for k, head in enumerate(columns)]
    first = max(map(len, rows))
    lines = [" " * first + "".join(f"  {head:>{width}s}" for head, width in zip(columns, widths))]
    for name, row in rows.items():
        cells = zip(row, widths) if len(row) > 1 else [(row[0], 0)]
        lines.append(f"{name:{first}s}" + "".join(f"  {text:>{width}s}" for text, width in cells))
    return "\n".join(lines)
