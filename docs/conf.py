"""Settings of the HTML pages: python -m sphinx -W -b html -c docs docs/en build/docs."""

project = 'mmtad_decomp'
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
root_doc = 'index'
html_theme_options = dict(page_width='1200px', sidebar_width='240px')
myst_heading_anchors = 3
# Links to files outside of docs/en (sources, configs) are not pages; tests check that they exist.
suppress_warnings = ['myst.xref_missing']
# Attributes as a list; they are members too.
napoleon_use_ivar = True


def skip_member(app, what, name, member, skip, options):
    """Leave out the fields of named tuples, which their class describes."""
    return True if type(member).__name__ == '_tuplegetter' else skip


def setup(app):
    app.connect('autodoc-skip-member', skip_member)
