# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Throwaway hosts: machines made of namespaces, on a LAN of their own, gone without a trace afterwards."""

from lab.errors import CommandError, LabError
from lab.host import Host
from lab.lab import Lab
from lab.servers import Answer, Flow, FlowBroken, Server

__all__ = ["Answer", "CommandError", "Flow", "FlowBroken", "Host", "Lab", "LabError", "Server"]
