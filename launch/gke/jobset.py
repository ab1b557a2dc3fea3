#!/usr/bin/env python3
"""Google Kubernetes Engine (or any cluster with JobSet): a module on all hosts of a slice or of a
GPU node pool.

    launch/gke/jobset.py [options] run MODULE [flags]   fill in jobset.yaml and hand it to kubectl
    launch/gke/jobset.py [options] tail                 follow the first worker
    launch/gke/jobset.py [options] delete

e.g. launch/gke/jobset.py --image=IMAGE --tpu=tpu-v5-lite-podslice --topology=4x4 \\
         run train --config=configs/cfg.py:cfg3f,paper --workdir=/runs/a
     launch/gke/jobset.py --image=IMAGE --gpu=nvidia-h100-80gb --hosts=2 run train ...

The claim --claim=runs (ReadWriteMany, e.g. Filestore) is mounted on /runs: put --workdir there.
"""

import argparse
import json
import math
import shlex
import string
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

PORT = 8476  # of the coordinator, for GPUs; on TPUs jax's own detection chooses it
AGAIN = 75  # exit code of a stopped run: the pod counts as failed and is started again
POOL = "cloud.google.com/gke-nodepool"
INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


class Parser(argparse.ArgumentParser):
    """Argument errors in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: jobset.py: {message}", file=sys.stderr)
        sys.exit(2)


def parser() -> Parser:
    """Returns the parser of the command line."""
    made = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--name", default="physlm", help="of the JobSet")
    made.add_argument("--image", default="", help="container image, see Dockerfile")
    made.add_argument("--tpu", default="", help="label gke-tpu-accelerator of the node pool")
    made.add_argument("--topology", default="", help="of the TPU slice, e.g. 4x4")
    made.add_argument("--gpu", default="", help="label gke-accelerator of the node pool")
    made.add_argument("--hosts", type=int, default=1, help="GPU machines")
    made.add_argument("--chips", type=int, default=0, help="chips per host (4 TPUs or 8 GPUs)")
    made.add_argument("--spot", action="store_true", help="on spot nodes")
    made.add_argument("--claim", default="runs", help="claim of the shared volume, on /runs")
    made.add_argument("--dry-run", action="store_true", help="only print")
    made.add_argument("command", choices=("run", "tail", "delete"))
    made.add_argument("module", nargs="?", default="", help="e.g. train")
    made.add_argument("flags", nargs=argparse.REMAINDER)
    return made


def placement(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the values of the manifest that differ between TPUs and GPUs."""
    if options.tpu:
        sides = options.topology.split("x")
        if not all(side.isdecimal() and int(side) for side in sides):
            parser().error(f"--topology should be like 4x4 or 2x2x4, got '{options.topology}'")
        chips = options.chips or 4
        return {
            "hosts": max(math.prod(map(int, sides)) // chips, 1),
            "selector": {
                "cloud.google.com/gke-tpu-accelerator": options.tpu,
                "cloud.google.com/gke-tpu-topology": options.topology,
            },
            "limits": {"google.com/tpu": chips},
            "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": POOL},
            "env": [{"name": "PHYSLM_CLUSTER", "value": "gketpu"}],
        }
    if options.hosts < 1:
        parser().error(f"--hosts should be at least 1, got {options.hosts}")
    return {
        "hosts": options.hosts,
        "selector": {"cloud.google.com/gke-accelerator": options.gpu},
        "limits": {"nvidia.com/gpu": options.chips or 8},
        "annotations": {},
        "env": [  # JobSet names the pods; the first one of the job coordinates
            {
                "name": "PHYSLM_COORDINATOR",
                "value": f"{options.name}-workers-0-0.{options.name}:{PORT}",
            },
            {"name": "PHYSLM_PROCESSES", "value": str(options.hosts)},
            {"name": "PHYSLM_PROCESS", "valueFrom": {"fieldRef": {"fieldPath": INDEX}}},
        ],
    }


def manifest(options: argparse.Namespace) -> str:
    """Returns jobset.yaml filled in."""
    if not options.module or options.module.startswith("-"):
        parser().error("which module? e.g. run train --config=...")
    if bool(options.tpu) == bool(options.gpu):
        parser().error("one of --tpu=... and --gpu=... is needed")
    if not options.image:
        parser().error("--image=... is needed")
    values = placement(options)
    if options.spot:
        values["selector"]["cloud.google.com/gke-spot"] = "true"
    module = ["python", "-m", f"physlm_jax.{options.module}", f"--stop_code={AGAIN}"]
    values |= {
        "name": options.name,
        "image": options.image,
        "claim": options.claim,
        "command": [*module, *(flag.replace("$(", "$$(") for flag in options.flags)],
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
    }
    template = Path(__file__).with_name("jobset.yaml").read_text()
    return string.Template(template).substitute({k: json.dumps(v) for k, v in values.items()})


def main() -> int:
    """Does what the command line asks; returns kubectl's exit code."""
    options = parser().parse_args()
    first = (
        f"jobset.sigs.k8s.io/jobset-name={options.name},batch.kubernetes.io/job-completion-index=0"
    )
    command = {
        "run": ["kubectl", "apply", "-f", "-"],
        "tail": ["kubectl", "logs", "--follow", "--tail=100", f"--selector={first}"],
        "delete": ["kubectl", "delete", "jobset", options.name],
    }[options.command]
    text = manifest(options) if options.command == "run" else None
    if options.dry_run:
        print(shlex.join(command) + (f" <<'EOF'\n{text}EOF" if text else ""))
        return 0
    return subprocess.run(command, input=text, text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
