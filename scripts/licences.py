"""Reads `cargo metadata` and prints the licences of all packages that go into reeldeck's programs. For scripts/dist.sh."""

import collections
import json
import sys

metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
seen, todo = set(), list(metadata["workspace_members"])
while todo:
    one = todo.pop()
    if one not in seen:
        seen.add(one)
        # Tests' and build scripts' own dependencies are not in the programs.
        todo += [dep["pkg"] for dep in nodes[one]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
by_licence = collections.defaultdict(set)
for one in seen - set(metadata["workspace_members"]):
    package = packages[one]
    by_licence[package["license"] or "see its source"].add(f"{package['name']} {package['version']}")
for licence, names in sorted(by_licence.items()):
    print(f"{licence}:\n    " + ", ".join(sorted(names)))
