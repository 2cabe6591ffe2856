"""Configuration of the documentation site: `make docs` builds it into build/docs."""

from __future__ import annotations

import sys
from importlib.metadata import version as _version
from pathlib import Path

from sphinx.domains.python import PyObject

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "prepixel"
author = "the prepixel authors"
copyright = "the prepixel authors, Apache-2.0"  # noqa: A001
release = _version("prepixel")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_pages",
    "api_pages",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext", "_static"]
nitpicky = False
default_role = "py:obj"

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 4
# write_tables.py heads its tables by ####, wherever they stand
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "notes_style")]
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries = False

# What `make page` built, beside the site's own pages; documents name it within {only} page.
_page = Path(__file__).parent.parent / "build" / "site"
if (_page / "page" / "index.html").exists():
    html_extra_path = [str(_page)]
    tags.add("page")  # noqa: F821  (Sphinx puts it there)

html_theme = "furo"
html_title = "prepixel"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {"color-brand-primary": "#0b5c8a", "color-brand-content": "#0b5c8a"},
    "dark_css_variables": {"color-brand-primary": "#6cc4f5", "color-brand-content": "#6cc4f5"},
}
pygments_style = "friendly"
pygments_dark_style = "monokai"

for _field in PyObject.doc_field_types:  # what napoleon makes of Attributes sections
    if _field.name == "variable":
        _field.label = "Attributes"
