"""Makes jax believe that it runs on a TPU VM: chips on the bus. Devices stay CPUs."""

import os

from jax._src.clusters import cloud_tpu_cluster, cluster

cloud_tpu_cluster.running_in_cloud_tpu_vm = cluster.running_in_cloud_tpu_vm = True
os.environ.pop("TPU_SKIP_MDS_QUERY", None)  # jax sets it where it finds no chip
