# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role service refuses, before it writes a unit."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.filter.unit_faults import FilterModule

unit_faults = FilterModule().filters()["unit_faults"]

GOOD = {"name": "web", "exec": "/usr/bin/python3 -m http.server"}


@pytest.mark.parametrize(
    "unit",
    [
        {},
        {"container": "a.b-c_1", "description": "Ein Größeres", "user": "www-data", "working_directory": "/srv"},
        {"exec": "-/usr/sbin/nginx -g 'daemon off;' a+b", "environment": {"PORT": 80, "A_1": 'x "y" \\ 100% \\'}},
        {"exec": "/bin/sh -c 'a \\n b'"},
        {"exec": "/bin/sh -c 'a ; +/b' \";\" a; ;b 'c'; \\;"},
        {"exec": "-\"/opt/my app/run\" 'it''s ; one word'"},
        {
            "directives": {
                "Unit": {"After": ["a.service", "b.service"]},
                "Service": {"PrivateTmp": True},
                "Install": None,
            }
        },
        {"directives": {"Service": {"ExecStartPre": "+/bin/true", "LimitNOFILE": 100, "Restart": None}}},
        {"state": "absent", "exec": None},
        {"container": None, "description": None, "user": None, "environment": None, "directives": None},
    ],
)
def test_accepted(unit: dict[str, Any]) -> None:
    assert unit_faults([{**GOOD, **unit}]) == []


@pytest.mark.parametrize(
    ("unit", "fault"),
    [
        ({"name": "../x"}, 'name "../x" is no name'),
        ({"name": "a/b"}, 'name "a/b" is no name'),
        ({"name": "a b"}, 'name "a b" is no name'),
        ({"name": "web\n"}, r'name "web\n" is no name'),
        ({"name": "-web"}, 'name "-web" is no name'),
        ({"name": "web@"}, 'name "web@" is no name'),
        ({"name": ""}, 'name "" is no name'),
        ({"name": "x" * 129}, "at most 128"),
        ({"name": None}, "name is missing; give the unit one"),
        ({"name": None, "state": "absent"}, "name is missing; give the unit one"),
        ({"name": 7}, "name 7 is what YAML makes of a name without quotes; write it in quotes"),
        ({"name": False}, "name false is what YAML makes of a name without quotes; write it in quotes"),
        ({"name": "web.service"}, "leave out the .service"),
        ({"container": "/proc/1/ns/net"}, 'container "/proc/1/ns/net" is no name'),
        ({"container": ".."}, 'container ".." is no name'),
        ({"container": ""}, 'container "" is no name'),
        ({"container": "../x", "state": "absent"}, 'container "../x" is no name'),
        ({"exec": None}, "exec is missing"),
        ({"exec": "  "}, "exec is missing"),
        ({"exec": "/bin/true\nUser=root"}, "exec"),
        ({"exec": "/bin/true\rUser=root"}, "is more than one line"),
        ({"exec": "/bin/true \\"}, "ends with a backslash"),
        ({"exec": "+/bin/true"}, "runs outside of the container"),
        ({"exec": "-+/bin/true"}, "runs outside of the container"),
        ({"exec": " @:+/bin/true true"}, "runs outside of the container"),
        ({"exec": '"+/bin/true" -g y'}, "can hide the prefix +"),
        ({"exec": "'+/bin/true'"}, "can hide the prefix +"),
        ({"exec": "''+/bin/true"}, "can hide the prefix +"),
        ({"exec": '-"+"/bin/true'}, "can hide the prefix +"),
        ({"exec": r"\x2b/bin/true"}, "can hide the prefix +"),
        ({"exec": r'-"\053/bin/true"'}, "can hide the prefix +"),
        ({"exec": "/bin/true ; +/bin/true"}, "begins another command"),
        ({"exec": "/bin/true ;"}, "begins another command"),
        ({"exec": "/bin/true ' ; +/bin/true"}, "begins another command"),
        ({"description": "a\nb"}, "description"),
        ({"user": "a\nb"}, "user"),
        ({"working_directory": "/a\0b"}, "working_directory"),
        ({"environment": {"a b": 1}}, '"a b" is no name of a variable'),
        ({"environment": {"A=B\n": 1}}, "is no name of a variable"),
        ({"environment": {"A": "x\ny"}}, r'environment: A has "x\ny"'),
        ({"directives": {"Service": {"A\nB": 1}}}, "is no name of a directive"),
        ({"directives": {"Service": {"A": "x\n[Install]"}}}, "directives.Service.A"),
        ({"directives": {"Service": {"A": ["x", "y\\"]}}}, "directives.Service.A"),
        ({"directives": {"Service": {"A": {"b": 1}}}}, "is a dictionary"),
        ({"directives": {"Service": {"NetworkNamespacePath": "/proc/1/ns/net"}}}, "use the option container"),
        ({"directives": {"Service": {"PrivateNetwork": False}}}, "use the option container"),
        ({"directives": {"Service": {"ExecStart": "/bin/true"}}}, "use the option exec"),
        ({"directives": {"Unit": {"AssertPathIsMountPoint": ""}}}, "leave it out"),
    ],
)
def test_refused(unit: dict[str, Any], fault: str) -> None:
    faults = unit_faults([{**GOOD, **unit}])
    assert faults and fault in faults[0]
    assert "\n" not in faults[0]


def test_a_name_is_there_once() -> None:
    assert unit_faults([GOOD, {**GOOD, "exec": "/bin/true"}]) == [
        'service_units: "web" is there twice; give each unit a name of its own'
    ]
