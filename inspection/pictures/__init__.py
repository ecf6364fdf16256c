"""Pictures of filters, styles and recipes, on contact sheets.

- model: the network whose filters are drawn
- sources: real images that pictures start from
- request: what `fmi invert` is asked for
- filters: what it makes
- filter_sheet: what it tells
- styles: `fmi style`
- recipe_sheet: `fmi recipe show` and `fmi recipe check`
- paper, with paper_networks, paper_stage, paper_results and paper_plots: `fmi bench paper`
- sheet: a contact sheet, drawn
"""
