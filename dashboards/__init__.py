"""The dashboard on this machine: review, verdicts, retraining. Never loads torch.

- app: every route, page by page. To add a page, add a route here and a template beside the others; a page
  that is to be found from every other also needs its link in the navigation of `templates/base.html`
- pages: how a template becomes an answer; what templates may use comes from `inspection.nights`
- guard: who may ask, and what a page may load
- retraining: a reviewer's request for a retraining, and what Prefect says about it
- serve: the server
- templates/, static/: what a page is made of
"""
