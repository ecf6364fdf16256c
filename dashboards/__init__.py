"""The dashboard on this machine: from what waits for a person to a promoted model. Never loads torch.

- app: the pages put together, their language, and how a problem is said
- inbox, nights, modes, pictures, models, manager, poc, search, guide, login, files: the addresses, a file
  for each kind of page. To add a page, add a route, its role in `access`, and a template; its link, if it
  is to be found from every page, stands in `templates/base.html`
- api: the same for programs, described at /api/openapi.json
- desk: what every page works with
- pages: how a template becomes an answer; what templates may use comes from `inspection.nights`
- guard: who may ask, and what a page may load
- reports: the nights' reports, written again after a decision
- retraining: a reviewer's request for a retraining, and what Prefect says about it
- serve: the server
- templates/, static/: what a page is made of
"""
