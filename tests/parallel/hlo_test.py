"""The text of compiled programs: hand-written lines with every notation, and real programs."""

import jax
import jax.numpy as jnp
import pytest

from physlm_jax.parallel import hlo, hlo_costs
from physlm_jax.parallel.hlo import Array
from physlm_jax.parallel.hlo_loops import trip_count

# A loop of five iterations around a fused dot and a gather over four devices, as the TPU compiler
# writes it: tiled layouts, memory spaces, comments in tuples, no note of the loop's length.
STATE = "(s32[]{:T(128)}, f32[2,16]{1,0:T(8,128)}, /*index=2*/f32[16,4]{1,0:T(8,128)S(1)})"
LOOP = f"""HloModule jit_f, is_scheduled=true, num_partitions=4

%fused (p0: f32[8,16], p1: f32[16,4]) -> f32[8,4] {{
  %p0 = f32[8,16]{{1,0:T(8,128)}} parameter(0)
  %p1 = f32[16,4]{{1,0:T(8,128)S(1)}} parameter(1)
  ROOT %dot.1 = f32[8,4]{{1,0:T(8,128)}} dot(%p0, %p1), lhs_contracting_dims={{1}}, x={{0}}
}}

%body (state: (s32[], f32[2,16], f32[16,4])) -> (s32[], f32[2,16], f32[16,4]) {{
  %state = {STATE} parameter(0)
  %i = s32[]{{:T(128)}} get-tuple-element(%state), index=0
  %x = f32[2,16]{{1,0:T(8,128)}} get-tuple-element(%state), index=1
  %w = f32[16,4]{{1,0:T(8,128)S(1)}} get-tuple-element(%state), index=2
  %two = s32[]{{:T(128)}} constant(2)
  %next = s32[]{{:T(128)}} add(%i, %two)
  %all = f32[8,16]{{1,0:T(8,128)}} all-gather(%x), channel_id=1, replica_groups=mesh['a'=4] \
{{'a'}}, dimensions={{0}}, metadata={{op_name="jit(f)/while/body/gather, (x)"}}
  %y = f32[8,4]{{1,0:T(8,128)}} fusion(%all, %w), kind=kOutput, calls=%fused
  ROOT %out = {STATE} tuple(%next, %x, %w)
}}

%condition (state.1: (s32[], f32[2,16], f32[16,4])) -> pred[] {{
  %ten = s32[]{{:T(128)}} constant(10)
  %state.1 = {STATE} parameter(0)
  %j = s32[]{{:T(128)}} get-tuple-element(%state.1), index=0
  ROOT %less = pred[]{{:T(512)}} compare(%j, %ten), direction=LT
}}

ENTRY %main (a: f32[2,16], b: f32[16,4]) -> f32[2,16] {{
  %a = f32[2,16]{{1,0:T(8,128)}} parameter(0)
  %b = f32[16,4]{{1,0:T(8,128)S(1)}} parameter(1)
  %zero = s32[]{{:T(128)}} constant(0)
  %start = s32[]{{:T(128)}} copy(%zero)
  %init = {STATE} tuple(%start, %a, %b)
  %loop = {STATE} while(%init), condition=%condition, body=%body
  ROOT %end = f32[2,16]{{1,0:T(8,128)}} get-tuple-element(%loop), index=1
}}
"""


def test_a_loop_written_by_hand():
    program = hlo.parse(LOOP)
    assert program.entry.name == "main"
    assert program.computations["body"].by_name["w"].shapes[0].in_hbm is False
    costs = hlo_costs.count(program)
    assert costs.unknown == []
    assert costs.flops == 5 * 2 * 8 * 16 * 4
    (gather,) = costs.collectives
    assert (gather.kind, gather.times, gather.group) == ("all-gather", 5, (0, 1, 2, 3))
    assert gather.size == 8 * 16 * 4 and gather.wire == 0.75 * gather.size
    assert gather.source == "jit(f)/while/body/gather, (x)"
    # tiles of 8 x 128: the gather reads and writes one, so does the dot (its kernel is on chip)
    tile, scalar = 8 * 128 * 4, 4
    assert costs.hbm == 2 * scalar + 5 * (4 * tile + 3 * scalar)


@pytest.mark.parametrize(
    ("change", "trips"),
    [
        (("constant(10)", "constant(11)"), 6),
        (("direction=LT", "direction=LE"), 6),
        (("constant(0)", "constant(4)"), 3),
        (("constant(2)", "constant(1)"), 10),
        (("body=%body\n", 'body=%body, backend_config={"known_trip_count":{"n":"7"}}'), 7),
        (("s32[]{:T(128)} constant(10)", "s32[]{:T(128)} iota(), iota_dimension=0"), None),
    ],
)
def test_how_often_a_loop_runs(change, trips):
    program = hlo.parse(LOOP.replace(*change))
    assert trip_count(program, program.entry, program.entry.by_name["loop"]) == trips
    assert bool(hlo_costs.count(program).unknown) == (trips is None)


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("replica_groups={{0,2},{1,3}}, dimensions={0}", (0, 2)),
        ("replica_groups=[2,4]<=[8], x=1", (0, 1, 2, 3)),
        ("replica_groups=[4,2]<=[2,4]T(1,0), x=1", (0, 4)),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}, x=1", (0, 4)),
        ("replica_groups=mesh['a'=2,'b'=4] {'a','b'}", tuple(range(8))),
        ("replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'a'}", (0, 1, 2, 3)),
        ("replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}, x=1", (0, 4)),
        ("replica_groups=mesh['a'=8] {'a':(1)2}, x=1", (0, 1)),
        ("channel_id=3, source_target_pairs={{0,3},{1,0}}", (0, 3)),
        ("replica_groups={}", ()),
    ],
)
def test_notations_of_groups(text, group):
    line = f"  %x = f32[4]{{0}} all-reduce(%y), channel_id=1, {text}"
    body = f"ENTRY %main (y: f32[4]) -> f32[4] {{\n  %y = f32[4]{{0}} parameter(0)\n{line}\n}}\n"
    assert hlo_costs.replica_group(hlo.parse(body).entry.by_name["x"]) == group


@pytest.mark.parametrize(
    ("array", "size", "padded"),
    [
        (Array("f32", (3, 200), "1,0:T(8,128)"), 2400, 8 * 256 * 4),
        (Array("bf16", (3, 200), "0,1:T(8,128)(2,1)"), 1200, 200 * 128 * 2),
        (Array("bf16", (5,), "0:T(1024)(128)(2,1)"), 10, 2048),
        (Array("pred", (4, 4), "1,0"), 16, 16),
        (Array("s4", (4, 4)), 8, 8),
        (Array("f8e4m3fn", (7,)), 7, 7),
    ],
)
def test_sizes_of_arrays(array, size, padded):
    assert (array.size, array.padded_size) == (size, padded)


# The same gather cut into three fusions, as the compiler does to overlap it with computation.
PIECES = """
%{name} (p: f32[4]) -> f32[16] {{
  %p = f32[4]{{0}} parameter(0)
  %g = f32[16]{{0}} all-gather(%p), channel_id=7, replica_groups={{{{0,1,2,3}}}}, \
dimensions={{0}}, frontend_attributes={{chain_id="2"}}
  ROOT %c = f32[16]{{0}} custom-call(%g), custom_call_target="{target}"
}}
"""


def test_a_collective_in_pieces_counts_once():
    text = PIECES.format(name="one", target="AsyncCollectiveStart")
    text += PIECES.format(name="two", target="AsyncCollectiveStep")
    text += PIECES.format(name="three", target="AsyncCollectiveDone")
    text += "\nENTRY %main (x: f32[4]) -> f32[16] {\n  %x = f32[4]{0} parameter(0)\n"
    for name in ("one", "two", "three"):
        text += f"  %f.{name} = f32[16]{{0}} fusion(%x), kind=kCustom, calls=%{name}\n"
    costs = hlo_costs.count(hlo.parse(text.rstrip() + "\n}\n"))
    assert [c.times for c in costs.collectives] == [1]


def test_a_reduction_fused_with_its_slice_is_a_scatter():
    text = (
        "%all-reduce-scatter.3 (p: f32[16], i: s32[]) -> f32[4] {\n"
        "  %p = f32[16]{0} parameter(0)\n  %i = s32[] parameter(1)\n"
        "  %r = f32[16]{0} all-reduce(%p), channel_id=1, replica_groups={{0,1,2,3}}\n"
        "  ROOT %s = f32[4]{0} dynamic-slice(%r, %i), dynamic_slice_sizes={4}\n}\n\n"
        "ENTRY %m (x: f32[16], i: s32[]) -> f32[4] {\n"
        "  %x = f32[16]{0} parameter(0)\n  %i = s32[] parameter(1)\n"
        "  ROOT %y = f32[4]{0} fusion(%x, %i), kind=kCustom, calls=%all-reduce-scatter.3\n}\n"
    )
    (one,) = hlo_costs.count(hlo.parse(text)).collectives
    assert (one.kind, one.size, one.wire) == ("reduce-scatter", 64, 48)


def compiled(function, *shapes):
    lowered = jax.jit(function).lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    return hlo_costs.count(hlo.parse(lowered.compile().as_text()))


def test_nested_scans_cost_what_they_cost_unrolled():
    def nested(unroll_inner, unroll_outer):
        def inner(x, w):
            return jnp.tanh(x @ w), None

        def outer(x, ws):
            x = jax.lax.scan(inner, x, ws, unroll=unroll_inner)[0]
            return x @ ws[0], None

        def f(x, ws):
            return jax.lax.scan(outer, x, ws, unroll=unroll_outer)[0]

        return compiled(f, (8, 16), (3, 5, 16, 16))

    expected = 3 * 6 * 2 * 8 * 16 * 16
    looped, unrolled = nested(1, 1), nested(5, 3)
    assert looped.unknown == unrolled.unknown == []
    assert looped.flops == unrolled.flops == expected


def test_convolutions_count_products_with_real_elements():
    def f(x, k):
        return jax.lax.conv_general_dilated(
            x, k, (2,), [(1, 2)], lhs_dilation=(2,), dimension_numbers=("NWC", "WIO", "NWC")
        )

    twin = 0
    size, window, low, high, stride, dilate = 9, 4, 1, 2, 2, 2
    padded = [0] * low + [1, 0] * (size - 1) + [1] + [0] * high
    for start in range(0, len(padded) - window + 1, stride):
        twin += sum(padded[start : start + window])
    assert dilate == 2
    line = (
        "ENTRY %m (x: f32[2,9,3], k: f32[4,3,5]) -> f32[2,9,5] {\n"
        "  %x = f32[2,9,3]{2,1,0} parameter(0)\n  %k = f32[4,3,5]{2,1,0} parameter(1)\n"
        "  ROOT %c = f32[2,9,5]{2,1,0} convolution(%x, %k), window={size=4 stride=2 pad=1_2 "
        "lhs_dilate=2}, dim_labels=b0f_0io->b0f\n}\n"
    )
    assert jax.eval_shape(f, *(jnp.zeros(s) for s in ((2, 9, 3), (4, 3, 5)))).shape == (2, 9, 5)
    assert hlo_costs.count(hlo.parse(line)).flops == 2 * twin * 2 * 3 * 5


def test_kernels_cost_their_estimate_or_what_is_known_of_them():
    line = (
        "ENTRY %m (x: f32[8]) -> f32[8] {\n  %x = f32[8]{0} parameter(0)\n"
        '  ROOT %c = f32[8]{0} custom-call(%x), custom_call_target="tpu_custom_call", metadata={\n'
        '"xprof":"{}"\n}}, '  # a description over several lines, as the compiler writes it
        'backend_config={"custom_call_config": {"cost_estimate": {"x": 1, "flops": 640}}}\n}\n'
    )
    costs = hlo_costs.count(hlo.parse(line))
    assert costs.flops == costs.kernel_flops == 640 and costs.unknown == []
    bare = hlo.parse(line.replace("cost_estimate", "nothing"))
    assert hlo_costs.count(bare).unknown == ["FLOPs of kernel c"]
    known = hlo_costs.count(bare, lambda name, shapes: 3.0 * shapes[0].dims[0])
    assert (known.flops, known.unknown) == (24, [])


def test_slices_cost_what_they_slice():
    text = (
        "%f (p: f32[100,8], i: s32[]) -> f32[1,8] {\n"
        "  %p = f32[100,8]{1,0} parameter(0)\n  %i = s32[] parameter(1)\n  %z = s32[] constant(0)\n"
        "  ROOT %d = f32[1,8]{1,0} dynamic-slice(%p, %i, %z), dynamic_slice_sizes={1,8}\n}\n\n"
        "%u (p: f32[100,8], r: f32[1,8], i: s32[]) -> f32[100,8] {\n"
        "  %p = f32[100,8]{1,0} parameter(0)\n  %r = f32[1,8]{1,0} parameter(1)\n"
        "  %i = s32[] parameter(2)\n  %z = s32[] constant(0)\n"
        "  ROOT %d = f32[100,8]{1,0} dynamic-update-slice(%p, %r, %i, %z)\n}\n\n"
        "ENTRY %m (x: f32[100,8], i: s32[]) -> f32[100,8] {\n"
        "  %x = f32[100,8]{1,0} parameter(0)\n  %i = s32[] parameter(1)\n"
        "  %row = f32[1,8]{1,0} fusion(%x, %i), kind=kLoop, calls=%f\n"
        "  ROOT %y = f32[100,8]{1,0} fusion(%x, %row, %i), kind=kLoop, calls=%u\n}\n"
    )
    row, index = 8 * 4, 4
    assert hlo_costs.count(hlo.parse(text)).hbm == (2 * row + index) + (2 * row + index)
