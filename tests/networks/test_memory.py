"""External memories against plain numpy, row by row; resets, gradients at empty rows, and what a window costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks import memory
from networks.controller import Controller, over_time, rows, split
from networks.dnc import dnc
from networks.ntm import address, ntm

B, N, Z, K, GAMMA = 3, 5, 4, 2, 0.8


"""Nearly all the time of these tests goes into compiling."""


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def cosine(key, matrix):
    norm = np.sqrt((key**2).sum() + 1e-6) * np.sqrt((matrix**2).sum(-1) + 1e-6)
    return matrix @ key / norm


either_way = pytest.mark.parametrize("largest", [memory.LARGEST, 0], ids=["matrices", "inserts"])


@functools.partial(jax.jit, static_argnums=(4, 5))
def through(start, values, weights, first, retroactive=True, largest=memory.LARGEST):
    """The memory after one window of writes, and its matrix before each of them."""

    def step(base, window, row):
        value, weights, first = row
        window = memory.reset(window, first)
        return memory.write(window, value, weights, GAMMA, retroactive), memory.contents(base, window)

    window = memory.open_window(start, len(values), largest)
    window, matrices = over_time(step, start.rows, window, (values, weights, first))
    return memory.close_window(start.rows, window), matrices


def inputs(steps, seed=0):
    weights = softmax(normal(seed + 1, steps, B, K, N))
    return normal(seed, steps, B, Z), weights, np.zeros((steps, B), bool)


@either_way
def test_the_right_half_is_the_discounted_sum_of_what_came_after(largest):
    steps = 9
    values, weights, first = inputs(steps)
    state = memory.empty(B, 12, Z)
    weights = np.repeat(weights, 3, -1)[..., :12]
    for window in (slice(0, 4), slice(4, 5), slice(5, steps)):  # it goes on over windows
        state, _ = through(state, values[window], weights[window], first[window], True, largest)
    for s in range(steps):
        later = sum(((1 - GAMMA) * GAMMA ** (t - s - 1) * values[t] for t in range(s + 1, steps)), np.zeros((B, Z)))
        np.testing.assert_allclose(state.rows[:, s], np.concatenate([values[s], later], -1), atol=1e-5)
    assert not state.rows[:, steps:].any()
    without, _ = through(memory.empty(B, 12, Z), values, weights, first, False, largest)
    np.testing.assert_array_equal(without.rows[..., Z:], 0)
    np.testing.assert_allclose(without.rows[:, :steps, :Z], values.swapaxes(0, 1))


@either_way
def test_a_full_memory_writes_where_it_read_least_and_forgets_lane_by_lane(largest):
    steps = 14
    values, weights, first = inputs(steps, 5)
    first[8, 1] = True
    state, matrices = memory.empty(B, N, Z), []
    for window in (slice(0, 7), slice(7, 8), slice(8, steps)):
        state, seen = through(state, values[window], weights[window], first[window], True, largest)
        matrices.append(seen)
    matrices = np.concatenate(matrices)
    for lane in range(B):
        matrix, usage, trace, last, count = np.zeros((N, 2 * Z)), np.zeros(N), np.zeros(N), np.zeros(N), 0
        for t in range(steps):
            if first[t, lane]:
                matrix, usage, trace, last, count = 0 * matrix, 0 * usage, 0 * trace, 0 * last, 0
            np.testing.assert_allclose(matrices[t, lane], matrix, atol=1e-5)
            usage = usage + weights[t, lane].sum(0)
            row = count if count < N else usage.argmin()
            trace = GAMMA * trace + (1 - GAMMA) * last
            matrix[row], trace[row] = 0, 0
            usage[row] = usage.mean()
            last = np.eye(N)[row]
            matrix += np.outer(last, np.r_[values[t, lane], np.zeros(Z)])
            matrix += np.outer(trace, np.r_[np.zeros(Z), values[t, lane]])
            count += 1
        np.testing.assert_allclose(state.rows[lane], matrix, atol=1e-5)
        np.testing.assert_allclose(state.usage[lane], usage, rtol=1e-5)
        assert state.writes[lane] == count


def test_reads_are_softmaxes_of_cosines():
    matrix, keys, strengths = normal(0, B, N, Z), normal(1, B, K, Z), np.abs(normal(2, B, K))
    got, weights = memory.read(matrix, keys, strengths)
    for lane in range(B):
        expected = np.stack(
            [softmax(b * cosine(k, matrix[lane])) for k, b in zip(keys[lane], strengths[lane], strict=True)]
        )
        np.testing.assert_allclose(weights[lane], expected, atol=1e-5)
        np.testing.assert_allclose(got[lane], (expected @ matrix[lane]).ravel(), atol=1e-5)


def test_no_nan_at_empty_rows():
    zeros = jnp.zeros((B, N, Z))
    gradients = jax.grad(lambda *a: memory.read(*a)[0].sum(), (0, 1, 2))(zeros, zeros[:, :K], jnp.ones((B, K)))
    assert all(jnp.isfinite(g).all() for g in gradients)


ACCESSES = {"rows": rows(N, Z, K), "ntm": ntm(N, Z, 2), "dnc": dnc(N, Z, 2), "none": None}
T, D = 6, 3


@functools.cache
def core(name):
    """A controller, its parameters, and `apply` compiled."""
    module = Controller((7, 5), ACCESSES[name], skip=name == "none", kernel_init=jax.nn.initializers.normal(0.6))
    start = module.begin(B)
    params = jax.jit(module.init)(jax.random.key(0), start, jnp.zeros((1, B, D)), jnp.zeros((1, B), bool))
    return module, params, jax.jit(module.apply)


@pytest.mark.parametrize("name", ACCESSES)
def test_a_window_equals_steps_and_a_reset_equals_a_fresh_start(name):
    module, params, apply = core(name)
    first = np.zeros((T, B), bool)
    first[3, 1] = True
    carry, outputs = apply(params, module.begin(B), normal(3, T, B, D), first)
    stepped, each = module.begin(B), []
    for t in range(T):
        stepped, output = apply(params, stepped, normal(3, T, B, D)[t : t + 1], first[t : t + 1])
        each.append(output[0])
    np.testing.assert_allclose(np.stack(each), outputs, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stepped, carry)
    fresh = module.begin(B)
    for t in range(3, T):
        fresh, output = apply(params, fresh, normal(3, T, B, D)[t : t + 1], first[:1])
        np.testing.assert_allclose(outputs[t, 1], output[0, 1], atol=1e-5)
        assert name == "none" or (abs(outputs[t, 0] - output[0, 0]) > 1e-6).any()


@pytest.mark.parametrize("name", ["rows", "ntm", "dnc"])
def test_what_was_written_learns_from_what_is_read_later(name):
    module, params, _ = core(name)

    def loss(inputs, blind):
        blinded = module.clone(blind=blind)
        return jnp.sum(
            jnp.square(blinded.apply(params, module.begin(B), inputs, jnp.zeros((T, B), bool))[1][-1, :, 12:])
        )

    gradient = jax.jit(jax.grad(loss), static_argnums=1)(normal(3, T, B, D), False)
    assert jnp.isfinite(gradient).all() and (abs(gradient[0]) > 0).all()


def test_a_blind_controller_does_not_see_what_it_read():
    module, params, _ = core("rows")
    blind = module.clone(blind=True)
    _, outputs = blind.apply(params, module.begin(B), normal(3, T, B, D), np.zeros((T, B), bool))
    _, plain = core("none")[0].apply(
        {"params": {k: v[: v.shape[0] - (8 if "recurrent" in k else 0)] if hasattr(v, "shape") else v
                    for k, v in params["params"].items() if "interface" not in k}},
        core("none")[0].begin(B), normal(3, T, B, D), np.zeros((T, B), bool),
    )  # fmt: skip
    np.testing.assert_allclose(outputs, plain[..., D:], atol=1e-6)


def test_ntm_addresses_as_its_equations_say():
    matrix, before, numbers = normal(0, B, N, Z), softmax(normal(1, B, 2, N)), normal(2, B, 2, Z + 6)
    got = address(numbers, matrix, before)
    still = address(numbers, matrix, before, shift=False)
    for lane, head in np.ndindex(B, 2):
        key, beta, gate, s, gamma = np.split(np.float64(numbers[lane, head]), np.cumsum([Z, 1, 1, 3]))
        content = softmax(softplus(beta) * cosine(key, np.float64(matrix[lane])))
        gated = sigmoid(gate) * content + (1 - sigmoid(gate)) * before[lane, head]
        moved = [sum(gated[j] * softmax(s)[d + 1] for j in range(N) for d in (-1, 0, 1) if (j + d - i) % N == 0)
                 for i in range(N)]  # fmt: skip
        for weights, plain in ((got, moved), (still, gated)):
            sharp = np.array(plain) ** (1 + softplus(gamma))
            np.testing.assert_allclose(weights[lane, head], sharp / sharp.sum(), rtol=1e-4, atol=1e-6)


def test_dnc_steps_as_its_equations_say():
    access, reads = dnc(N, Z, 2), 2
    state = {"M": np.zeros((N, Z)), "u": np.zeros(N), "p": np.zeros(N), "L": np.zeros((N, N))}
    write, heads = np.zeros(N), np.zeros((reads, N))
    step = jax.jit(access.step)
    state["u"] = np.array([0.1, 0.5, 0.3, 0.7, 0.2])  # no ties, which either side would break as it likes
    ours = access.begin(1)._replace(usage=jnp.float32(state["u"])[None])
    for t in range(6):
        numbers = 1.5 * normal(10 + t, 1, access.interface)
        ours, got = step((), ours, numbers)
        queries, target, erase, value, free, gates, modes = split(
            np.float64(numbers[0]), reads * (Z + 1), Z + 1, Z, Z, reads, 2, 3 * reads
        )
        u = (state["u"] + (1 - state["u"]) * write) * np.prod(1 - sigmoid(free)[:, None] * heads, 0)
        state["u"] = u
        order, left = np.argsort(1e-6 + (1 - 1e-6) * u, kind="stable"), 1.0
        allocation = np.zeros(N)
        for j in order:
            full = 1e-6 + (1 - 1e-6) * u[j]
            allocation[j], left = (1 - full) * left, left * full
        content = softmax(softplus(target[-1]) * cosine(target[:-1], state["M"]))
        allocating, writing = sigmoid(gates)
        write = writing * (allocating * allocation + (1 - allocating) * content)
        state["M"] = state["M"] * (1 - np.outer(write, sigmoid(erase))) + np.outer(write, value)
        link = np.zeros((N, N))
        for i, j in np.ndindex(N, N):
            if i != j:
                link[i, j] = (1 - write[i] - write[j]) * state["L"][i, j] + write[i] * state["p"][j]
        state["L"], state["p"] = link, (1 - write.sum()) * state["p"] + write
        new = []
        for head, query, mode in zip(heads, queries.reshape(reads, -1), modes.reshape(reads, 3), strict=True):
            back, forth, same = softmax(mode)
            found = softmax(softplus(query[-1]) * cosine(query[:-1], state["M"]))
            new.append(back * link.T @ head + forth * link @ head + same * found)
        heads = np.stack(new)
        np.testing.assert_allclose(got[0], (heads @ state["M"]).ravel(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(ours.usage[0], u, atol=1e-5)
        np.testing.assert_allclose(ours.link[0], link, atol=1e-5)


def test_without_allocation_a_fresh_memory_is_written_everywhere_alike():
    numbers = normal(0, 1, dnc(N, Z).interface)
    state, _ = dnc(N, Z, allocate=False).step((), dnc(N, Z).begin(1), numbers)
    np.testing.assert_allclose(state.write, state.write[:, :1].repeat(N, 1), rtol=1e-5)
    state, _ = dnc(N, Z).step((), dnc(N, Z).begin(1), numbers)
    assert state.write[0, 0] > 2 * state.write[0, 1]


def test_a_window_of_the_papers_memory_costs_less_than_a_gigabyte():
    """1,350 rows of 400 numbers in 16 lanes are 35 MB; a copy per step and its gradient would be 1.4 GB."""
    steps, lanes, num, size = 20, 16, 1350, 200

    def loss(start, values, keys):
        def step(base, window, row):
            value, key = row
            read, weights = memory.read(memory.contents(base, window), key, jnp.ones(key.shape[:2]))
            return memory.write(window, value, weights, GAMMA), read

        window = memory.open_window(start, steps)
        return jnp.sum(jnp.square(over_time(step, start.rows, window, (values, keys))[1]))

    shapes = jax.eval_shape(lambda: memory.empty(lanes, num, size))
    floats = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)  # noqa: E731
    arguments = shapes, floats(steps, lanes, size), floats(steps, lanes, 3, 2 * size)
    compiled = jax.jit(jax.grad(loss, (1, 2))).lower(*arguments).compile()
    used = compiled.memory_analysis()
    assert used.temp_size_in_bytes + used.argument_size_in_bytes + used.output_size_in_bytes < 0.6e9


def test_sizes_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="add up to 3, not to 4"):
        split(jnp.zeros((2, 4)), 1, 2)
