"""Settings of the HTML pages: python -m sphinx -W -b html -c docs docs/en build/docs."""

project = 'mmtad_decomp'
extensions = ['myst_parser']
root_doc = 'index'
myst_heading_anchors = 3
# Links to files outside of docs/en (sources, configs) are not pages; tests check that they exist.
suppress_warnings = ['myst.xref_missing']
