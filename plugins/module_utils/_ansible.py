# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file between the engine and Ansible: dependencies, check mode, diff, results, errors."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
from typing import TYPE_CHECKING, Any, Callable

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ._converge import Intent, Result, converge, look
from ._errors import BridgeworkError, quoted
from ._intent import Item

if TYPE_CHECKING:
    from typing import TypeVar

    Spec = TypeVar("Spec")
    Outcome = TypeVar("Outcome")

LIBRARIES = {"pyroute2": (0, 7, 2), "netaddr": (0, 8)}  # and the lowest version that will do
INSTALLED = re.compile(r"[^-]+-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist|egg)-info")

FIREWALL_BACKEND = {"type": "str", "choices": ["auto", "iptables", "nftables"], "default": "auto"}
STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
# What tasks for community.docker say of their connection, which means nothing here.
DOCKER_CONNECTION = {
    "docker_host": {"type": "str", "aliases": ["docker_url"]},
    "tls_hostname": {"type": "str"},
    "api_version": {"type": "str", "aliases": ["docker_api_version"]},
    "timeout": {"type": "int"},
    "ca_path": {"type": "path", "aliases": ["ca_cert", "tls_ca_cert", "cacert_path"]},
    "client_cert": {"type": "path", "aliases": ["tls_client_cert", "cert_path"]},
    "client_key": {"type": "path", "aliases": ["tls_client_key", "key_path"]},
    "tls": {"type": "bool"},
    "validate_certs": {"type": "bool", "aliases": ["tls_verify"]},
    "use_ssh_client": {"type": "bool"},
    "debug": {"type": "bool"},
}
IPAM_CONFIG = {
    "type": "list",
    "elements": "dict",
    "options": {
        "subnet": {"type": "str"},
        "iprange": {"type": "str"},
        "gateway": {"type": "str"},
        "aux_addresses": {"type": "dict"},
    },
}


def run(
    module: AnsibleModule,
    read: Callable[[dict[str, Any]], Spec],
    intent_of: Callable[[Spec], Intent[Outcome]],
    results: Callable[[Spec, Result[Outcome]], dict[str, Any]],
) -> None:
    """A module from its arguments to its exit: read the arguments, converge, shape the results."""
    _keep_garbage()
    _require_libraries(module)
    _refuse_other_host(module)
    try:
        spec = read(module.params)
        result = converge(intent_of(spec), module.check_mode, module.params.get("firewall_backend") or "auto")
    except BridgeworkError as error:
        module.fail_json(msg=str(error))
    for warning in result.warnings:
        module.warn(warning)
    found: dict[str, Any] = {"changed": result.changed, "actions": [], "diff": {"before": "", "after": ""}}
    if result.changed:
        from ._report import actions, diff

        found.update(actions=actions(result.plan), diff=diff(result.before, result.after, result.plan))
    if not module._diff:
        del found["diff"]
    found.update(results(spec, result))
    errors = [item["msg"] for each in found.values() if isinstance(each, list) for item in each if _failed(item)]
    if errors:
        module.fail_json(msg="; ".join(errors), **found)
    module.exit_json(**found)


def show(
    module: AnsibleModule,
    read: Callable[[dict[str, Any]], Spec],
    view_of: Callable[[Spec], Intent[Outcome]],
    results: Callable[[Spec, Outcome], dict[str, Any]],
) -> None:
    """A module that only looks, from its arguments to its exit."""
    _keep_garbage()
    _require_libraries(module)
    _refuse_other_host(module)
    try:
        spec = read(module.params)
        found = look(view_of(spec))
    except BridgeworkError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **results(spec, found))


def item_results(items: list[Item], result: Result[Any], key: str, shape: Callable[..., Any]) -> list[dict[str, Any]]:
    """One result for each item: its name, state, whether it changed, and the object or the error."""
    concerned: set[tuple[str, str]] = set()
    if result.changed:
        from ._report import touched

        concerned = touched(result.before, result.after, result.plan)
    found = []
    for item in items:
        entry: dict[str, Any] = {
            "name": item.name,
            "state": item.state,
            "changed": (item.kind, item.name) in concerned,
            key: shape(result.after, item.name),
        }
        if item.error is not None:
            entry.update(failed=True, msg=item.error)
        found.append(entry)
    return found


def _keep_garbage() -> None:
    """The process ends with the run. Looking through ten thousand ports for garbage takes as long as reading them."""
    gc.disable()


def _failed(item: Any) -> bool:
    return isinstance(item, dict) and bool(item.get("failed"))


def _refuse_other_host(module: AnsibleModule) -> None:
    address = module.params.get("docker_host")
    if address and not address.startswith("unix://"):
        module.fail_json(
            msg=f"docker_host {quoted(address)} may be another host than the task's; leave it out, and run it there"
        )


def _require_libraries(module: AnsibleModule) -> None:
    for name, lowest in LIBRARIES.items():
        found = _version_of(name)
        if found is None or found < lowest:
            module.fail_json(
                msg=missing_required_lib(
                    f"{name} >= {'.'.join(map(str, lowest))}",
                    reason=f"by bridgework.network; install it with pip (pip install {name}) or from the distribution "
                    f"(python3-{name} on Debian, Ubuntu and Fedora)",
                )
            )


def _version_of(library: str) -> tuple[int, ...] | None:
    """The installed version's leading numbers; None where the library is missing.

    Read off the name of what was installed beside it: ``importlib.metadata`` takes longer to import than a task to run.
    """
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        return None
    beside = os.path.dirname(os.path.dirname(spec.origin))
    versions = [
        tuple(int(part) for part in re.findall(r"[0-9]+", match.group(1))[:3]) if _is_installed(beside, name) else ()
        for name in os.listdir(beside)
        for match in [INSTALLED.fullmatch(name)]
        if match is not None and name.startswith(f"{library}-")
    ]
    # There, but not as a package: its version is anybody's guess.
    return max(versions, default=LIBRARIES[library])


def _is_installed(directory: str, name: str) -> bool:
    """Whether it is more than the folder that an uninstall left behind."""
    return any(os.path.isfile(os.path.join(directory, name, *each)) for each in (["METADATA"], ["PKG-INFO"], []))
