# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this interpreter and its host lack, as JSON. Arguments: libraries as NAME>=VERSION, commands, keys of sysctl."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import sys
import sysconfig

PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def is_there(requirement):
    name, _operator, lowest = requirement.partition(">=")
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # Without metadata its version is anybody's guess, as for the modules.
        return importlib.util.find_spec(name) is not None
    return numbers(found) >= numbers(lowest)


def numbers(version):
    return [int(part) for part in re.findall("[0-9]+", version)[:3]]


def is_distributions_own():
    own = os.path.realpath("/usr/bin/python3")
    return sys.prefix == sys.base_prefix and os.path.realpath(sys.executable) == own


libraries = [each for each in sys.argv[1:] if ">=" in each]
commands = [each for each in sys.argv[1:] if ">=" not in each]
marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
print(
    json.dumps(
        {
            "libraries": [each for each in libraries if not is_there(each)],
            "commands": [each for each in commands if shutil.which(each, path=PATH) is None],
            "pip": importlib.util.find_spec("pip") is not None,
            "distributions_own": is_distributions_own(),
            "externally_managed": sys.prefix == sys.base_prefix and os.path.exists(marker),
        }
    )
)
