# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's settings for the pages that scripts/docs puts together. Needs nothing of the internet."""

import re
import zlib
from pathlib import Path

project = "bridgework.network"
author = "Bridgework contributors"
project_copyright = author
html_title = "Bridgework"
html_short_title = "Bridgework"

extensions = ["sphinx.ext.intersphinx", "sphinx_antsibull_ext", "myst_parser"]
antsibull_ext_color_scheme = "default-autodark"
highlight_language = "yaml"
pygments_style = "friendly"
pygments_dark_style = "monokai"

# What the generated pages refer to in Ansible's own documentation, without a look at that.
INVENTORY = """\
callback_plugins std:label -1 plugins/callback.html Callback plugins
common_return_values std:label -1 reference_appendices/common_return_values.html Common return values
ansible_configuration_settings std:label -1 reference_appendices/config.html Configuration settings
"""
# Its modules and plugins, as far as a page names one.
_pages = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("rst/**/*.rst")))
_labels = set(re.findall(r"\bansible_collections\.ansible\.builtin\.(\w+)", _pages))
_labels |= {"_".join(found) for found in re.findall(r"\bansible\.builtin\.(\w+)#(\w+)", _pages)}
for _page in sorted(_labels):
    INVENTORY += f"ansible_collections.ansible.builtin.{_page} std:label -1 collections/ansible/builtin/{_page}.html "
    INVENTORY += f"ansible.builtin.{_page.rpartition('_')[0]}\n"
_inventory = Path(__file__).with_name("ansible.inv")
_inventory.write_bytes(
    b"# Sphinx inventory version 2\n# Project: Ansible\n# Version:\n"
    b"# The remainder of this file is compressed using zlib.\n" + zlib.compress(INVENTORY.encode())
)
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/ansible/latest/", str(_inventory))}

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["bridgework.css"]
html_show_sphinx = False
html_copy_source = False
html_use_index = False

myst_heading_anchors = 3
# A page that is read in the repository too has a title of its own, whatever its place here.
suppress_warnings = ["myst.header"]
