"""Pages to read: one HTML file with its charts in it, which needs no script and no network.

    html      elements, with all text escaped
    numbers   how a number is written
    scales    where a value lies on an axis, and its ticks
    chart     lines with bands, steps, intervals and bars, as SVG in the colours of the page
    table     a table as HTML, CSV, JSON and LaTeX
    figure    a chart or a table with its caption and its files
    page      what is around them

Charts follow the style sheet: they are light or dark as the page is, and plain in print. Each line
has a dash of its own beside its colour.
"""
