"""Training on several hosts: processes of JAX, one a device, each of which takes its part of every batch."""

import keras

from ..errors import InputError


def join(hosts: int, coordinator: str | None = None, process: int | None = None) -> None:
    """Makes this process one of several that train one network; call it before anything is built.

    From then on variables are the same in all of them, and a batch's loss, gradients and batch normalisation are those
    of the whole batch (keras.distribution's DataParallel).

    Args:
        hosts: how many processes there are, one a device.
        coordinator: host and port of the first one; None where JAX finds it (Slurm, Open MPI).
        process: this one's number, from 0; None where JAX finds it.

    Raises:
        InputError: another backend than JAX, several devices in this process, or the others are not to be found.
    """
    if keras.backend.backend() != "jax":
        raise InputError(f"hosts={hosts}: several hosts are JAX's here; set KERAS_BACKEND=jax")
    import jax
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # it reads pictures alone
    try:
        jax.distributed.initialize(coordinator, hosts, process)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"hosts={hosts}, coordinator={coordinator}, process={process}: {reason}; start all of them, with the same "
            "--coordinator HOST:PORT and each with a --process-id of its own"
        ) from error
    if jax.local_device_count() != 1 or jax.process_count() != hosts:
        raise InputError(
            f"this process has {jax.local_device_count()} devices, and is one of {jax.process_count()}, not {hosts}; "
            "start one a device (Slurm: --ntasks-per-node as many as GPUs; else CUDA_VISIBLE_DEVICES)"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def part() -> tuple[int, int]:
    """The number of this process, and of how many; (0, 1) where it is alone."""
    if keras.backend.backend() != "jax" or keras.distribution.distribution() is None:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def any_of_all(flag: bool) -> bool:
    """Whether a process says so; each must ask."""
    if part()[1] == 1:
        return flag
    import numpy as np
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def require_same_step(step: int) -> None:
    """Raises InputError where processes took up a run at different steps."""
    if part()[1] == 1:
        return
    import numpy as np
    from jax.experimental import multihost_utils

    steps = np.unique(multihost_utils.process_allgather(np.array(step)))
    if len(steps) > 1:
        raise InputError(f"the hosts found checkpoints of steps {steps.tolist()}; --out must be a folder they share")
