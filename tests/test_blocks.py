"""`blocks` against the encoder layer, Keras's own layers, and the table of variants."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from advanced_keras.attention import MultiHeadAttention, attention_weights
from advanced_keras.blocks import (
    QUESTIONS,
    EncoderBlock,
    FusedAdam,
    blocks_of,
    build_stack,
    gradient_norms,
    make_neighbours,
    states_by_depth,
)
from advanced_keras.transformer import TransformerEncoder

VARIANTS = list(itertools.product(("post", "pre", None), (True, False)))
E = 8


def states(seed=0, shape=(3, 5, E)):
    return np.random.default_rng(seed).normal(2, 3, shape).astype("float32")


def random_block(norm, residual, seed=0, **options):
    """A block whose every weight is random, biases, gammas and betas too."""
    block = EncoderBlock(E, 12, 2, norm=norm, residual=residual, **options)
    block.build((None, None, E))
    rng = np.random.default_rng(seed)
    block.set_weights([rng.normal(size=w.shape, scale=0.4) for w in block.weights])
    return block


def stock_block(block, norm, residual):
    """The cell of the table, made of Keras's layers, with the same weights."""
    attention = keras.layers.MultiHeadAttention(2, E // 2)
    dense = [keras.layers.Dense(12, "relu"), keras.layers.Dense(E)]
    norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]

    def around(sublayer, normalize, x):
        update = sublayer(normalize(x) if norm == "pre" else x)
        y = keras.layers.add([x, update]) if residual else update
        return normalize(y) if norm == "post" else y

    inputs = keras.Input((None, E))
    middle = around(lambda x: attention(x, x), norms[0], inputs)
    outputs = around(lambda x: dense[1](dense[0](x)), norms[1], middle)
    model = keras.Model(inputs, outputs)
    ours = [block.self_attention, block.hidden_dense, block.output_dense]
    theirs = [attention, *dense]
    if norm is not None:
        ours += [block.self_attention_norm, block.feed_forward_norm]
        theirs += norms
    for mine, stock in zip(ours, theirs, strict=True):
        pairs = zip(mine.get_weights(), stock.weights, strict=True)
        stock.set_weights([w.reshape(v.shape) for w, v in pairs])
    return model


@pytest.mark.parametrize("norm,residual", VARIANTS)
def test_each_variant_is_its_cell_of_the_table(norm, residual):
    block = random_block(norm, residual)
    stock = stock_block(block, norm, residual)
    x = tf.constant(states())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = block(x), stock(x)
        sums = [tf.reduce_sum(y * states(1)) for y in (ours, theirs)]
    np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=1e-4)
    mine, stocks = (tape.gradient(total, x) for total in sums)
    np.testing.assert_allclose(mine, stocks, atol=2e-3, rtol=1e-3)


def test_the_default_is_the_encoder_layer():
    block, layer = EncoderBlock(E, 12, 2), TransformerEncoder(E, 12, 2)
    for each in (block, layer):
        each.build((None, None, E))
    layer.set_weights(block.get_weights())
    mask = np.array([[1, 1, 1, 0, 0], [1] * 5, [0] * 5], bool)
    np.testing.assert_array_equal(
        block(states(), mask=mask), layer(states(), mask=mask)
    )


@pytest.mark.parametrize("norm,residual", VARIANTS)
def test_count_of_weights(norm, residual):
    block = random_block(norm, residual)
    expected = 4 * (E**2 + E) + (E * 12 + 12) + (12 * E + E)
    assert block.count_params() == expected + (0 if norm is None else 4 * E)


@pytest.mark.parametrize("norm,residual", VARIANTS)
def test_every_weight_gets_a_gradient(norm, residual):
    block = random_block(norm, residual)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(block(states()) * states(1))
    gradients = tape.gradient(total, block.trainable_weights)
    assert all(g is not None for g in gradients)


@pytest.mark.parametrize("norm,residual", VARIANTS)
def test_padding_changes_nothing(norm, residual):
    block, x = random_block(norm, residual), states()
    longer = np.concatenate([x, states(7, (3, 4, E))], axis=1)
    mask = np.arange(9) < 5
    padded = block(longer, mask=np.broadcast_to(mask, (3, 9)))
    np.testing.assert_allclose(padded[:, :5], block(x), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("norm,residual", VARIANTS)
def test_without_positions_a_block_is_permutation_equivariant(norm, residual):
    block, x = random_block(norm, residual), states()
    order = np.random.default_rng(3).permutation(5)
    np.testing.assert_allclose(
        block(x[:, order]), np.asarray(block(x))[:, order], atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize("norm", ["post", "pre", None])
def test_attention_weights_are_those_of_the_call(norm):
    block, x = random_block(norm, True), states()
    weights = np.asarray(block.attention_weights(x))
    seen = np.asarray(block.self_attention_norm(x)) if norm == "pre" else x
    attention = block.self_attention
    queries = attention.split_heads(attention.query_dense(seen))
    keys, _ = attention.project_keys_values(seen)
    np.testing.assert_allclose(weights, attention_weights(queries, keys), atol=1e-6)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


def test_attention_weights_leave_padding_out():
    block, mask = random_block("pre", True), np.arange(5) < 3
    weights = np.asarray(block.attention_weights(states(), mask=np.tile(mask, (3, 1))))
    assert np.all(weights[..., 3:] == 0)
    alone = np.asarray(block.attention_weights(states()[:, :3]))
    np.testing.assert_allclose(weights[:, :, :3, :3], alone, atol=1e-5)


@pytest.mark.parametrize("norm,residual", VARIANTS)
def test_save_and_load_without_custom_objects(tmp_path, norm, residual):
    inputs = keras.Input((None, E))
    block = EncoderBlock(E, 12, 2, norm, residual, dropout=0.25, seed=3)
    model = keras.Model(inputs, block(inputs))
    model.save(tmp_path / "block.keras")
    loaded = keras.models.load_model(tmp_path / "block.keras")
    np.testing.assert_array_equal(loaded(states()), model(states()))
    assert loaded.layers[-1].get_config() == block.get_config()


def test_dropout_is_in_training_only_and_follows_its_seed():
    blocks = [EncoderBlock(E, 12, 2, "pre", dropout=0.5, seed=s) for s in (0, 0, 1)]
    weights = random_block("pre", True).get_weights()
    for block in blocks:
        block.build((None, None, E))
        block.set_weights(weights)
    plain = [np.asarray(block(states())) for block in blocks]
    first, same, other = (np.asarray(b(states(), training=True)) for b in blocks)
    np.testing.assert_array_equal(plain[0], plain[2])
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - plain[0]).max() > 0.1 < np.abs(first - other).max()


def test_mixed_bfloat16():
    block = EncoderBlock(E, 12, 2, "pre", dtype="mixed_bfloat16")
    assert block(states()).dtype == "bfloat16"


@pytest.mark.parametrize(
    "arguments,named",
    [
        ({"norm": "before"}, "norm"),
        ({"norm": True}, "norm"),
        ({"residual": "yes"}, "residual"),
        ({"residual": 1}, "residual"),
        ({"num_heads": 3}, "num_heads"),
        ({"embed_dim": 0}, "embed_dim"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"{named}.*got"):
        EncoderBlock(**({"embed_dim": E, "dense_dim": 12, "num_heads": 2} | arguments))


# The task


def test_neighbours_answer_the_two_questions():
    tokens, answers = make_neighbours(50, length=7, symbols=4, seed=2)
    assert tokens.shape == (50, 7) and set(np.unique(tokens)) == {1, 2, 3, 4}
    assert tuple(answers) == QUESTIONS
    for row, t in itertools.product(range(50), range(7)):
        assert answers["before"][row, t] == tokens[row, t - 1]
        assert answers["mirrored"][row, t] == tokens[row, 6 - t]


def test_neighbours_follow_their_seed():
    same, again, other = (make_neighbours(9, seed=s).tokens for s in (1, 1, 2))
    assert np.array_equal(same, again) and not np.array_equal(same, other)


@pytest.mark.parametrize("argument", ["count", "length", "symbols"])
@pytest.mark.parametrize("bad", [0, -1, 2.5, True])
def test_bad_sizes_are_named(argument, bad):
    with pytest.raises(ValueError, match=f"{argument} must be"):
        make_neighbours(**({"count": 3} | {argument: bad}))


# The stack


@pytest.fixture(scope="module")
def probe():
    return make_neighbours(16, seed=5)


@pytest.fixture(scope="module", params=["post", "pre"])
def stack(request):
    keras.utils.set_random_seed(0)
    return build_stack(3, norm=request.param)


def test_states_by_depth_are_what_the_blocks_return(stack, probe):
    found = states_by_depth(stack, probe.tokens)
    assert len(found) == 4
    for block, before, after in zip(blocks_of(stack), found, found[1:], strict=False):
        np.testing.assert_allclose(block(before), after, atol=1e-5)
    np.testing.assert_allclose(found[0].mean(-1), 0, atol=1e-5)


def test_the_logits_are_read_from_normalized_states(stack, probe):
    """With pre-norm, too, although no block normalizes what it returns."""
    opened = keras.Model(stack.input, stack.get_layer("before").input)
    last = np.asarray(opened(probe.tokens))
    np.testing.assert_allclose(last.mean(-1), 0, atol=1e-4)
    np.testing.assert_allclose(last.var(-1), 1, atol=0.01)


def test_gradient_norms_agree_with_finite_differences(stack, probe):
    """Move the states along the gradient: the loss must change by its length."""
    found = gradient_norms(stack, *probe)
    assert found.states.shape == (4,) and found.weights.shape == (3,)
    blocks, start = blocks_of(stack), states_by_depth(stack, probe.tokens)

    def loss_from(depth, x):
        for block in blocks[depth:]:
            x = block(x)
        if "last_norm" in {layer.name for layer in stack.layers}:
            x = stack.get_layer("last_norm")(x)
        logits = {q: stack.get_layer(q)(x) for q in QUESTIONS}
        return stack.compute_loss(y=probe.answers, y_pred=logits)

    for depth in range(4):
        x = tf.constant(start[depth])
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = loss_from(depth, x)
        direction = tape.gradient(loss, x)
        direction /= tf.norm(direction)
        step = 0.05
        rise = loss_from(depth, x + step * direction)
        rise -= loss_from(depth, x - step * direction)
        np.testing.assert_allclose(rise / (2 * step), found.states[depth], rtol=0.02)


def test_weight_gradients_are_those_of_the_second_matrix(probe):
    """Only the last block's kernel can be checked by hand: scale it up and see."""
    keras.utils.set_random_seed(1)
    stack = build_stack(2, norm="pre")
    kernels = [block.output_dense.kernel for block in blocks_of(stack)]
    with tf.GradientTape() as tape:
        logits = stack(probe.tokens)
        loss = stack.compute_loss(y=probe.answers, y_pred=logits)
    expected = [tf.norm(g) for g in tape.gradient(loss, [k.value for k in kernels])]
    found = gradient_norms(stack, *probe).weights
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_positions_the_stack_is_permutation_equivariant(probe):
    order = np.random.default_rng(3).permutation(10)

    def asymmetry(positions):
        keras.utils.set_random_seed(0)
        stack = build_stack(1, positions=positions)
        # A fresh table of positions is near 0: make it matter.
        table = stack.get_layer("embedding").position_embedding.embeddings
        table.assign(table * 20)
        after, before = stack(probe.tokens[:, order]), stack(probe.tokens)
        return max(
            np.abs(np.asarray(after[q]) - np.asarray(before[q])[:, order]).max()
            for q in QUESTIONS
        )

    assert asymmetry(positions=False) < 1e-5 < 1e-2 < asymmetry(positions=True)


def stepper(optimizer, variable, jit_compile):
    return tf.function(
        lambda gradient: optimizer.apply([gradient], [variable]),
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fused_adam_is_adam(jit_compile):
    """Ten steps from the same start, with a learning rate that changes."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(2, 3)), rng.normal(size=(10, 2, 3))
    found = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        variable = keras.Variable(start, dtype="float32")
        optimizer = kind(0.1, beta_1=0.8, beta_2=0.9, epsilon=1e-3)
        optimizer.build([variable])
        take_step = stepper(optimizer, variable, jit_compile)
        for step, gradient in enumerate(gradients):
            optimizer.learning_rate.assign(0.1 / (1 + step))
            take_step(tf.constant(gradient, "float32"))
        found.append(variable.numpy())
    np.testing.assert_allclose(*found, atol=1e-5)
    assert np.abs(found[0] - start).max() > 0.05


def test_fused_adam_refuses_what_it_would_ignore():
    with pytest.raises(ValueError, match=r"amsgrad must be False .* got amsgrad=True"):
        FusedAdam(1e-3, amsgrad=True)
    config = FusedAdam(2e-3, beta_1=0.7, weight_decay=0.1).get_config()
    assert FusedAdam.from_config(config).get_config() == config


def test_training_resumed_equals_training_uninterrupted(tmp_path, probe):
    keras.utils.set_random_seed(0)
    stack = build_stack(1)
    stack.run_eagerly = True
    more = make_neighbours(16, seed=6)
    stack.fit(*probe, verbose=0)
    stack.save(tmp_path / "half.keras")
    stack.fit(*more, verbose=0)
    resumed = keras.models.load_model(tmp_path / "half.keras")
    resumed.run_eagerly = True
    resumed.fit(*more, verbose=0)
    for ours, theirs in zip(stack.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_positions_taken_away_stay_away(probe):
    stack = build_stack(1, positions=False)
    stack.run_eagerly = True
    stack.fit(*probe, epochs=1, verbose=0)
    assert not np.any(stack.get_layer("embedding").position_embedding.embeddings)


def test_same_seed_same_training(probe):
    losses = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        stack = build_stack(1)
        stack.run_eagerly = True
        losses.append(stack.fit(*probe, epochs=2, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_a_stack_survives_saving(tmp_path, probe):
    keras.utils.set_random_seed(0)
    stack = build_stack(2, norm="pre")
    stack.save(tmp_path / "stack.keras")
    loaded = keras.models.load_model(tmp_path / "stack.keras")
    assert len(loaded.optimizer.variables) == len(stack.optimizer.variables)
    for question in QUESTIONS:
        np.testing.assert_array_equal(
            loaded(probe.tokens)[question], stack(probe.tokens)[question]
        )
    assert len(blocks_of(loaded)) == 2


def test_a_stack_is_what_was_asked_for():
    """Each argument differs from its default."""
    sizes = {"length": 7, "symbols": 4, "embed_dim": 12, "dense_dim": 20}
    kind = {"num_heads": 3, "norm": None, "residual": False}
    stack = build_stack(2, **sizes, **kind, learning_rate=0.25)
    block = 4 * (12**2 + 12) + (12 * 20 + 20) + (20 * 12 + 12)
    embedding, heads = (7 + 5) * 12 + 2 * 12, 2 * (12 * 5 + 5)
    assert stack.count_params() == embedding + 2 * block + heads
    for each in blocks_of(stack):
        assert each.self_attention.num_heads == 3
        assert (each.norm, each.residual) == (None, False)
    assert float(stack.optimizer.learning_rate) == 0.25
    stack.run_eagerly = True
    tokens, answers = make_neighbours(16, 7, 4)
    scores = stack.evaluate(tokens, answers, verbose=0, return_dict=True)
    logits = stack(tokens)
    for question in QUESTIONS:
        right = np.mean(np.argmax(logits[question], -1) == answers[question])
        assert scores[f"{question}_accuracy"] == pytest.approx(right)


@pytest.mark.parametrize("argument", ["depth", "length", "symbols", "embed_dim"])
def test_bad_sizes_of_a_stack_are_named(argument):
    with pytest.raises(ValueError, match=f"{argument} must be"):
        build_stack(**({"depth": 1} | {argument: 0}))


def test_two_heads_divide_the_two_questions():
    """What the chapter draws: each of two heads finds one of the two places."""
    keras.utils.set_random_seed(3)
    stack = build_stack(1, learning_rate=5e-3)
    stack.fit(*make_neighbours(6000), batch_size=64, epochs=3, verbose=0)
    tokens, answers = make_neighbours(200, seed=9)
    logits = stack(tokens)
    for question in QUESTIONS:
        assert (np.argmax(logits[question], -1) == answers[question]).mean() > 0.98
    start = states_by_depth(stack, tokens)[0]
    weights = np.asarray(blocks_of(stack)[0].attention_weights(start)).mean(0)
    here = np.arange(10)
    shares = [weights[:, here, to].mean(-1) for to in (here - 1, here[::-1])]
    best = np.argmax(shares, axis=0)  # the question of each head
    assert sorted(best) == [0, 1] and np.max(shares, axis=0).min() > 0.8


# What the chapter says about stacks with parts taken out (margins: six seeds)


def measures(probe, **options):
    """Gradients and states of a fresh stack of six blocks, as the chapter has it."""
    keras.utils.set_random_seed(4)
    stack = build_stack(6, length=8, **options)
    return gradient_norms(stack, *probe), states_by_depth(stack, probe.tokens)


def cosine(x):
    """Mean cosine between two positions of a sequence."""
    unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
    every = np.einsum("bsd,btd->bst", unit, unit)
    return np.mean(every[:, ~np.eye(x.shape[1], dtype=bool)])


def test_what_a_stack_feels_without_each_part():
    probe = make_neighbours(32, length=8, seed=2)
    post, post_states = measures(probe, norm="post")
    pre, pre_states = measures(probe, norm="pre")
    none, none_states = measures(probe, norm=None)
    _, lone_states = measures(probe, norm="post", residual=False)
    growth = [found.states[0] / found.states[-1] for found in (none, pre)]
    assert growth[0] > 25 and 2 < growth[1] < 6
    assert (post.states / post.states[-1]).min() < 0.85
    assert post.weights[-1] > 1.4 * pre.weights[-1]  # Xiong et al. (2020), theorem 1
    assert none_states[-1].std() > 6 > 4 > pre_states[-1].std()
    assert cosine(lone_states[2]) > 0.97
    assert cosine(pre_states[-1]) < 0.88 < cosine(post_states[-1])


# What the chapter proves about the parts


@pytest.mark.parametrize("d", [1, 4, 64, 256])
def test_scores_have_variance_d_without_the_scale(d):
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 20_000, d))
    assert np.var(np.sum(q * k, axis=-1)) == pytest.approx(d, rel=0.06)


def test_the_softmax_jacobian_is_bounded_by_what_the_largest_share_leaves():
    rng = np.random.default_rng(1)
    for spread in (0.1, 1, 10):
        for scores in rng.normal(0, spread, (50, 6)):
            a = keras.ops.convert_to_numpy(keras.ops.softmax(scores))
            jacobian = np.diag(a) - np.outer(a, a)
            row_sums = np.abs(jacobian).sum(axis=1)
            np.testing.assert_allclose(row_sums, 2 * a * (1 - a), atol=1e-6)
            assert row_sums.max() <= 2 * (1 - a.max()) + 1e-6


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_key_dim_of_the_whole_width_costs_a_factor_of_the_heads(heads):
    width = 64
    ours, wide = MultiHeadAttention(heads), MultiHeadAttention(heads, key_dim=width)
    stock = keras.layers.MultiHeadAttention(heads, key_dim=width)
    for layer in (ours, wide):
        layer.build((None, None, width))
    stock.build((None, None, width), (None, None, width))
    assert ours.count_params() == 4 * width**2 + 4 * width
    expected = 4 * heads * width**2 + (3 * heads + 1) * width
    assert wide.count_params() == stock.count_params() == expected


def test_ten_symbols_unless_said_otherwise():
    tokens = make_neighbours(500).tokens
    assert tokens.shape == (500, 10)
    assert (tokens.min(), tokens.max()) == (1, 10)
    stack = build_stack(depth=1)
    assert stack.input.shape == (None, 10)
    assert stack.output["before"].shape == (None, 10, 11), "padding is one more"
