"""What several tests of runners use."""

from tests.support.ray_cluster import quiet_ray, ray_cluster

__all__ = ["quiet_ray", "ray_cluster"]
