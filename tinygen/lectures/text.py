"""Chapter 13, first part. Word vectors: one-hot words, embedding, softmax, skip-gram, GloVe.

V words, vectors of d numbers; Θ_E is (V, d) and Θ_D is (d, V).  Sequences stand in ``text_sequences``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, Check, Claim, at_least, holds, same
from tinygen.lectures.numerics import central_difference
from tinygen.testing.strategies import arrays, logits, normals, sizes, vectors

Array = np.ndarray


def softmax_by_ratios(g: Array) -> Array:
    """1 / Σ_j exp(g_j − g_k) for each k: no sum is shifted, and what overflows is a probability of 0."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / np.exp(g[..., None, :] - g[..., :, None]).sum(axis=-1))


# --- TXT-1 -------------------------------------------------------------------------------------------------------

TXT_1 = Claim(
    "TXT-1",
    "One-hot words and context window",
    r"\{(t,s):0<|t-s|\le m\},\qquad y[k]=1\text{ at the neighbour's number, else }0",
    sources="000",
)


def window_pairs(length: int, window: int) -> list[tuple[int, int]]:
    """(centre, neighbour) positions, centre by centre."""
    around = [(t, range(max(t - window, 0), min(t + window + 1, length))) for t in range(length)]
    return [(t, s) for t, neighbours in around for s in neighbours if s != t]


@TXT_1.part(length=st.integers(0, 8), window=sizes(1, 3))
def pairs(length: int, window: int, *, pairs_of: Any = window_pairs) -> Iterator[Check]:
    """The pairs of a sentence equal a search through all T² positions; their number is 2 Σ_d max(T − d, 0)."""
    found = pairs_of(length, window)
    searched = [(t, s) for t in range(length) for s in range(length) if 0 < abs(t - s) <= window]
    yield holds("the same pairs", found == searched, f"{found} against {searched}")
    yield same("how many", len(found), 2 * sum(max(length - d, 0) for d in range(1, window + 1)), EXACT)


@pairs.falsification("the centre is its own neighbour")
def with_the_centre(length: int, window: int) -> list[tuple[int, int]]:
    return [(t, s) for t in range(length) for s in range(max(t - window, 0), min(t + window + 1, length))]


@pairs.falsification("neighbours across the border: position −1 is the last word")
def around_the_border(length: int, window: int) -> list[tuple[int, int]]:
    return [(t, (t + d) % length) for t in range(length) for d in range(-window, window + 1) if d]


def indicator(words: Array, size: int) -> tg.Tensor:
    """A row a word: 1 at its number, else 0."""
    return tg.one_hot(tg.tensor(words), size)


@TXT_1.part(words=st.lists(st.integers(0, 4), min_size=1, max_size=6), size=sizes(5, 8))
def rows_of_ones(words: list[int], size: int, *, encode: Any = indicator) -> Iterator[Check]:
    """One-hot rows sum to 1, are 1 at the word's number, and their products tell which words are equal."""
    rows = encode(np.array(words), size)
    yield same("sums", tg.sum(rows, axis=1), np.ones(len(words)), EXACT)
    yield same("at the number", np.array([rows.numpy()[t, word] for t, word in enumerate(words)]), 1.0, EXACT)
    yield same("same words", tg.matmul(rows, rows.T), 1.0 * (np.array(words)[:, None] == np.array(words)), EXACT)


@rows_of_ones.falsification("numbers count from 1")
def from_one(words: Array, size: int) -> tg.Tensor:
    return tg.one_hot(tg.tensor((words + 1) % size), size)


# --- TXT-2 -------------------------------------------------------------------------------------------------------

TXT_2 = Claim(
    "TXT-2",
    "Encoder (embedding)",
    r"h=\Theta_E^\top X,\ X\text{ one-hot}:\quad\text{row lookup};\ \text{backward: scatter-add into these rows}",
    sources="000",
)


class Lookup(NamedTuple):
    """Numbers of words (T,), Θ_E (V, d), and a cotangent (T, d)."""

    words: Array
    table: Array
    cotangent: Array


@st.composite
def lookups(draw: st.DrawFn) -> Lookup:
    v, d, t = draw(sizes(1, 6)), draw(sizes(1, 4)), draw(sizes(1, 6))
    words = draw(hnp.arrays(np.int64, t, elements=st.integers(0, v - 1)))
    return Lookup(words, draw(arrays((v, d))), draw(arrays((t, d))))


def looked_up(words: tg.Tensor, table: tg.Tensor) -> tg.Tensor:
    """The rows of Θ_E with these numbers."""
    return tg.embedding(words, table)


@TXT_2.part(given=lookups())
def lookup_is_a_product(given: Lookup, *, embed: Any = looked_up) -> Iterator[Check]:
    """The lookup equals the product of one-hot rows and Θ_E, exactly."""
    one_hot = np.eye(len(given.table))[given.words]
    yield same("XᵀΘ_E", embed(tg.tensor(given.words), tg.tensor(given.table)), one_hot @ given.table, EXACT)


@lookup_is_a_product.falsification("the row before")
def row_before(words: tg.Tensor, table: tg.Tensor) -> tg.Tensor:
    return tg.embedding(words, tg.roll(table, 1, axis=0))


def scattered(given: Lookup) -> Array:
    """Each cotangent added to the row it came from, word by word."""
    total = np.zeros(given.table.shape)
    for word, row in zip(given.words, given.cotangent, strict=True):
        total[word] += row
    return total


@TXT_2.part(given=lookups())
def lookup_backward(given: Lookup, *, scatter: Any = scattered) -> Iterator[Check]:
    """Autodiff adds into the rows looked up, repeated words accumulate, and all other rows get exactly 0."""
    table = tg.tensor(given.table, requires_grad=True)
    (slope,) = tg.grad(looked_up(tg.tensor(given.words), table), table, tg.tensor(given.cotangent))
    yield same("∂Θ_E", slope, scatter(given))
    unused = np.setdiff1d(np.arange(len(given.table)), given.words)
    yield same("unused rows", slope.numpy()[unused], np.zeros((len(unused), given.table.shape[1])), EXACT)


@lookup_backward.falsification("a repeated word keeps its last cotangent only")
def last_one_wins(given: Lookup) -> Array:
    total = np.zeros(given.table.shape)
    total[given.words] = given.cotangent
    return total


# --- TXT-3 -------------------------------------------------------------------------------------------------------

TXT_3 = Claim(
    "TXT-3",
    "Decoder (logits)",
    r"\hat g=\Theta_D^\top h\in\mathbb R^V,\quad\hat y=\mathrm{softmax}(\hat g);\qquad"
    r"\mathrm{rank}(\Theta_E\Theta_D)\le d",
    sources="000",
)


class Decoder(NamedTuple):
    """Θ_E (V, d) and Θ_D (d, V) with d < V."""

    encoder: Array
    decoder: Array


@st.composite
def decoders(draw: st.DrawFn) -> Decoder:
    d = draw(sizes(1, 4))
    v = d + draw(sizes(1, 6))
    return Decoder(draw(normals((v, d))), draw(normals((d, v))))


def linear_logits(encoder: tg.Tensor, decoder: tg.Tensor) -> tg.Tensor:
    """The logits of every word: (V, V)."""
    return tg.matmul(encoder, decoder)


@TXT_3.part(net=decoders())
def bottleneck(net: Decoder, *, logits_of: Any = linear_logits) -> Iterator[Check]:
    """Of the logits of all words at most d singular values are not 0, and each logit is one scalar product."""
    table = logits_of(*map(tg.tensor, net))
    singular_values = np.linalg.svd(table.numpy())[1]
    yield same("singular values after the d-th", singular_values[net.encoder.shape[1] :] / singular_values[0], 0.0)
    products = [[float(h @ column) for column in net.decoder.T] for h in net.encoder]
    yield same("scalar products", table, np.array(products))


@bottleneck.falsification("with a tanh behind, which has any rank")
def bent_logits(encoder: tg.Tensor, decoder: tg.Tensor) -> tg.Tensor:
    return tg.tanh(linear_logits(encoder, decoder))


def predicted(encoder: tg.Tensor, decoder: tg.Tensor) -> tg.Tensor:
    """ŷ = softmax(Θ_Dᵀ h)."""
    return tg.softmax(linear_logits(encoder, decoder))


@TXT_3.part(net=decoders())
def prediction(net: Decoder, *, predict: Any = predicted) -> Iterator[Check]:
    """ŷ is a law for each word (≥ 0, sum 1), with ratios e^(difference of logits)."""
    y, g = predict(*map(tg.tensor, net)).numpy(), net.encoder @ net.decoder
    yield at_least("ŷ ≥ 0", y, 0.0, EXACT)
    yield same("sum", y.sum(axis=1), np.ones(len(y)))
    yield same("ŷ[k] / ŷ[0]", y / y[:, :1] / np.exp(g - g[:, :1]), 1.0, ALG)


@prediction.erratum("E-56", "Θ_Dᵀh are logits, not probabilities", printed=r"\hat y_L=\Theta_D^\top h")
def logits_as_probabilities(encoder: tg.Tensor, decoder: tg.Tensor) -> tg.Tensor:
    return linear_logits(encoder, decoder)


# --- TXT-4 -------------------------------------------------------------------------------------------------------

TXT_4 = Claim(
    "TXT-4",
    "Softmax",
    r"\hat y[k]=\frac{e^{\hat g[k]}}{\sum_je^{\hat g[j]}},\qquad\frac{\partial\hat y}{\partial\hat g}"
    r"=\mathrm{diag}(\hat y)-\hat y\hat y^\top",
    sources="000",
)


def stable_softmax(g: tg.Tensor) -> tg.Tensor:
    """The engine's, which subtracts the maximum."""
    return tg.softmax(g)


@TXT_4.part(g=st.one_of(vectors(sizes(1, 8)), logits()), shift=st.sampled_from([-100.0, -1.0, 0.5, 100.0]))
def probabilities(g: Array, shift: float, *, softmax: Any = stable_softmax) -> Iterator[Check]:
    """Equals 1 / Σ e^(g_j − g_k), sums to 1, ignores a constant, and for two words is the sigmoid, up to ±800."""
    y = softmax(tg.tensor(g))
    yield same("1 / Σ e^(g_j − g_k)", y, softmax_by_ratios(g))
    yield same("sum", tg.sum(y), 1.0)
    # Adding the shift rounds a logit of 800 by 1e-13, which the exponential hands on.
    yield same("g + c", softmax(tg.tensor(g + shift)), y)
    two = np.array([g[0], g[-1]])
    yield same("V = 2", softmax(tg.tensor(two))[0], tg.sigmoid(tg.tensor(two[0] - two[1])))


@probabilities.falsification("exponentials without the shift, which overflow")
def overflowing(g: tg.Tensor) -> tg.Tensor:
    return tg.exp(g) / tg.sum(tg.exp(g))


def softmax_jacobian(y: Array) -> Array:
    """diag(ŷ) − ŷ ŷᵀ."""
    return np.asarray(np.diag(y) - np.outer(y, y))


@TXT_4.part(g=st.one_of(vectors(sizes(1, 8)), logits()))
def derivative(g: Array, *, jacobian: Any = softmax_jacobian) -> Iterator[Check]:
    """Autodiff's Jacobian equals diag(ŷ) − ŷŷᵀ: symmetric, no negative eigenvalue, 0 along (1, …, 1)."""
    found = tg.jacobian(tg.softmax, tg.tensor(g)).numpy()
    yield same("Jacobian", found, jacobian(softmax_by_ratios(g)))
    yield same("symmetric", found, found.T)
    yield at_least("eigenvalues", np.linalg.eigvalsh(0.5 * (found + found.T)), 0.0)
    yield same("J 1 = 0", found.sum(axis=1), np.zeros(len(g)))


@derivative.falsification("without ŷŷᵀ")
def only_diagonal(y: Array) -> Array:
    return np.diag(y)


# --- TXT-5 -------------------------------------------------------------------------------------------------------

TXT_5 = Claim(
    "TXT-5",
    "Negative log-likelihood",
    r"\mathrm{NLL}(\hat y,y_i)=-\ln\hat y[k_i]=\mathrm{lse}(\hat g)-\hat g[k_i]",
    sources="000",
)


def nll(g: tg.Tensor, k: int) -> tg.Tensor:
    """lse(ĝ) − ĝ[k], in nats."""
    return tg.logsumexp(g) - g[k]


@TXT_5.part(g=st.one_of(vectors(sizes(1, 8)), logits()), place=st.integers(0, 7))
def surprise(g: Array, place: int, *, loss: Any = nll) -> Iterator[Check]:
    """Equals ln Σ e^(g_j − g_k) summed pair by pair, is finite at ±800, never negative, ln V for equal logits."""
    k = place % len(g)
    value = loss(tg.tensor(g), k)
    yield same("ln Σ e^(g_j − g_k)", value, np.logaddexp.reduce(g - g[k]))
    yield same("cross-entropy", tg.cross_entropy(tg.tensor(g[None]), tg.tensor(np.array([k]))), value)
    yield at_least("≥ 0", value, 0.0)
    yield same("±800", loss(tg.tensor([800.0, -800.0, 800.0]), 1), 1600.0 + math.log(2.0))
    yield same("uniform", loss(tg.zeros(len(g)) + g[0], k), math.log(len(g)))


@surprise.falsification("logarithm of a probability that was rounded to 0")
def rounded_to_zero(g: tg.Tensor, k: int) -> tg.Tensor:
    return -tg.log(tg.softmax(g)[k])


@surprise.falsification("of the next word")
def next_word(g: tg.Tensor, k: int) -> tg.Tensor:
    return nll(tg.roll(g, -1), k)


# --- TXT-6 -------------------------------------------------------------------------------------------------------

TXT_6 = Claim(
    "TXT-6",
    "Gradient softmax − one-hot",
    r"\frac{\partial\mathrm{NLL}}{\partial\hat g}=\hat y-y,\quad\frac{\partial}{\partial\Theta_D}=h(\hat y-y)^\top,"
    r"\quad\frac{\partial}{\partial\Theta_E[i]}=\Theta_D(\hat y-y)",
    sources="000",
)


def error_of(y: Array, k: int) -> Array:
    """ŷ − y with y one-hot at k."""
    return np.asarray(y - np.eye(len(y))[k])


@TXT_6.part(g=vectors(sizes(2, 20)), place=st.integers(0, 19))
def in_the_logits(g: Array, place: int, *, error: Any = error_of) -> Iterator[Check]:
    """Autodiff's gradient is ŷ − y and sums to 0; its Hessian is the Jacobian of the softmax (TXT-4)."""
    k, x = place % len(g), tg.tensor(g, requires_grad=True)
    (slope,) = tg.grad(nll(x, k), x)
    y = softmax_by_ratios(g)
    yield same("ŷ − y", slope, error(y, k))
    yield same("Σ = 0", error(y, k).sum(), 0.0)
    yield same("Hessian", tg.hessian(lambda x: nll(x, k), x), np.diag(y) - np.outer(y, y))


@in_the_logits.falsification("ŷ + y")
def error_plus(y: Array, k: int) -> Array:
    return np.asarray(y + np.eye(len(y))[k])


@in_the_logits.falsification("ŷ alone")
def error_without_target(y: Array, k: int) -> Array:
    return y


def table_gradients(net: Decoder, i: int, error: Array) -> tuple[Array, Array]:
    """∂Θ_D = h (ŷ − y)ᵀ; ∂Θ_E is 0 but for row i, Θ_D (ŷ − y)."""
    in_encoder = np.zeros(net.encoder.shape)
    in_encoder[i] = net.decoder @ error
    return in_encoder, np.outer(net.encoder[i], error)


@TXT_6.part(net=decoders(), centre=st.integers(0, 9), target=st.integers(0, 9))
def in_the_tables(net: Decoder, centre: int, target: int, *, gradients: Any = table_gradients) -> Iterator[Check]:
    """Autodiff of the pipeline word → h → ĝ → NLL gives the gradients of both tables derived by hand."""
    i, k = centre % len(net.encoder), target % len(net.encoder)
    encoder, decoder = (tg.tensor(table, requires_grad=True) for table in net)
    found = tg.grad(nll(tg.matmul(encoder[i], decoder), k), (encoder, decoder))
    error = error_of(softmax_by_ratios(net.encoder[i] @ net.decoder), k)
    for name, slope, expected in zip("ED", found, gradients(net, i, error), strict=True):
        yield same(f"∂Θ_{name}", slope, expected)


@in_the_tables.falsification("every word's row is moved")
def every_row(net: Decoder, i: int, error: Array) -> tuple[Array, Array]:
    row, in_decoder = net.decoder @ error, table_gradients(net, i, error)[1]
    return np.broadcast_to(row, net.encoder.shape), in_decoder


# --- TXT-7 -------------------------------------------------------------------------------------------------------

TXT_7 = Claim(
    "TXT-7",
    "Two targets a centre (skip-gram)",
    r"\partial_{\hat g}(\mathrm{NLL}_1+\mathrm{NLL}_2)=2\hat y-y_1-y_2;\qquad"
    r"\hat y_i[j]=\frac{C_{ij}}{\sum_jC_{ij}}\text{ is optimal, the loss there the conditional entropy}",
    sources="000",
)


def two_errors(y: Array, first: int, second: int) -> Array:
    """2 ŷ − y₁ − y₂."""
    return np.asarray(error_of(y, first) + error_of(y, second))


@TXT_7.part(g=vectors(sizes(2, 10)), first=st.integers(0, 9), second=st.integers(0, 9))
def two_targets(g: Array, first: int, second: int, *, error: Any = two_errors) -> Iterator[Check]:
    """Autodiff of the sum of two losses gives 2 ŷ − y₁ − y₂, equal targets included."""
    k1, k2, x = first % len(g), second % len(g), tg.tensor(g, requires_grad=True)
    (slope,) = tg.grad(nll(x, k1) + nll(x, k2), x)
    yield same("2ŷ − y₁ − y₂", slope, error(softmax_by_ratios(g), k1, k2))


@two_targets.falsification("one ŷ for both targets")
def one_prediction(y: Array, first: int, second: int) -> Array:
    return np.asarray(two_errors(y, first, second) - y)


class Corpus(NamedTuple):
    """Counts C (V, V) of neighbours, and two tables of a model with d < V."""

    counts: Array
    net: Decoder


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    net = draw(decoders())
    v = len(net.encoder)
    counts = draw(hnp.arrays(np.float64, (v, v), elements=st.integers(0, 5).map(float)))
    counts[np.arange(v), np.arange(v)] += counts.sum(axis=1) == 0.0  # no row without a neighbour
    return Corpus(counts, net)


def corpus_loss(g: tg.Tensor, counts: Array) -> tg.Tensor:
    """Σ C_ij NLL of the logits (V, V)."""
    return -tg.sum(tg.tensor(counts) * tg.log_softmax(g))


def neighbour_law(counts: Array) -> Array:
    """C_ij / Σ_j C_ij."""
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


@TXT_7.part(corpus=corpora())
def tabular_optimum(corpus: Corpus, *, optimum: Any = neighbour_law) -> Iterator[Check]:
    """At the claimed optimum the gradient is 0 and the loss the entropy of the counts; a low-rank model has no less."""
    law, counts = optimum(corpus.counts), corpus.counts
    # A probability of 0 has logit −∞; −700 stands for it, e^−700 = 1e-304.
    g = tg.tensor(np.log(np.where(law > 0.0, law, 1e-304)), requires_grad=True)
    best = corpus_loss(g, counts)
    (slope,) = tg.grad(best, g)
    rows = counts.sum(axis=1)
    entropy = sum(n * math.log(rows[i] / n) for (i, _), n in np.ndenumerate(counts) if n)
    yield same("gradient", slope, np.zeros(counts.shape))
    yield same("loss = Σ C ln(ΣC / C)", best, entropy)
    yield at_least("low rank", corpus_loss(tg.matmul(*map(tg.tensor, corpus.net)), counts), best)


@tabular_optimum.falsification("law of the neighbours turned round: C_ij / Σ_i C_ij")
def column_law(counts: Array) -> Array:
    return np.asarray(counts / np.maximum(counts.sum(axis=0, keepdims=True), 1.0))


@tabular_optimum.falsification("every pair counted once more than it occurs")
def smoothed_law(counts: Array) -> Array:
    return neighbour_law(counts + 1.0)


def descended(g: Array, counts: Array) -> Array:
    """One step of gradient descent on Σ C NLL."""
    x = tg.tensor(g, requires_grad=True)
    return np.asarray(g - 0.01 * tg.grad(corpus_loss(x, counts), x)[0].numpy())


@TXT_7.part(corpus=corpora(), most=25)
def equal_contexts(corpus: Corpus, *, descend: Any = descended) -> Iterator[Check]:
    """Two words with equal neighbours and equal starts keep bit-equal predictions under gradient descent."""
    counts = corpus.counts.copy()
    counts[-1] = counts[0]
    g = np.zeros(counts.shape)
    for _ in range(5):
        g = descend(g, counts)
    y = softmax_by_ratios(g)
    yield same("equal rows", y[-1], y[0], EXACT)
    yield at_least("lower loss", corpus_loss(tg.zeros(g.shape), counts), corpus_loss(tg.tensor(g), counts))


@equal_contexts.falsification("counts read by columns")
def by_columns(g: Array, counts: Array) -> Array:
    return descended(g, counts.T)


# --- TXT-8 -------------------------------------------------------------------------------------------------------

TXT_8 = Claim(
    "TXT-8",
    "GloVe",
    r"J=\sum_{X_{ij}>0}f(X_{ij})\big(w_i^\top\tilde w_j+b_i+\tilde b_j-\ln X_{ij}\big)^2,"
    r"\quad f(x)=\min\{1,(x/100)^{3/4}\}",
    sources="000",
)


def weighting(counts: tg.Tensor) -> tg.Tensor:
    """f(x) = min(1, (x/100)^¾)."""
    return tg.minimum((counts / 100.0) ** 0.75, 1.0)


@TXT_8.part(x=vectors(6, 0.0, 300.0))
def weights_of_counts(x: Array, *, f: Any = weighting) -> Iterator[Check]:
    """f equals e^(¾ ln(x/100)) below 100 and 1 from there on; f(0) = 0, f(50) = 0.5946, f(100) = 1."""
    expected = [math.exp(0.75 * math.log(value / 100.0)) if 0.0 < value < 100.0 else float(value > 0.0) for value in x]
    yield same("f", f(tg.tensor(x)), np.array(expected))
    known = f(tg.tensor([0.0, 50.0, 100.0, 1e4]))
    yield same("known values", known, np.array([0.0, 0.59460355750136, 1.0, 1.0]))


@weights_of_counts.falsification("power 4/3")
def inverted_power(counts: tg.Tensor) -> tg.Tensor:
    return tg.minimum((counts / 100.0) ** (4.0 / 3.0), 1.0)


class Vectors(NamedTuple):
    """w, w̃ (V, d) and b, b̃ (V,)."""

    w: Array
    w_context: Array
    b: Array
    b_context: Array


@st.composite
def glove_models(draw: st.DrawFn) -> Vectors:
    v, d = draw(sizes(1, 4)), draw(sizes(1, 3))
    return Vectors(*(draw(arrays(shape, -1.0, 1.0)) for shape in ((v, d), (v, d), (v,), (v,))))


Tables = Sequence[tg.Tensor]  # w, w̃, b, b̃


def residuals(model: Tables, x: tg.Tensor) -> tg.Tensor:
    """w_i · w̃_j + b_i + b̃_j − ln X_ij, with ln 1 where nothing was counted."""
    w, w_context, b, b_context = model
    return tg.matmul(w, w_context.T) + b[:, None] + b_context - tg.log(tg.where(x > 0.0, x, 1.0))


def glove(model: Tables, x: tg.Tensor) -> tg.Tensor:
    """J: f(0) = 0 removes what was not counted."""
    return tg.sum(weighting(x) * residuals(model, x) ** 2)


COUNTS = hnp.arrays(np.float64, (4, 4), elements=st.sampled_from([0.0, 0.0, 1.0, 7.0, 50.0, 100.0, 250.0]))


@TXT_8.part(model=glove_models(), table=COUNTS)
def cost(model: Vectors, table: Array, *, loss: Any = glove) -> Iterator[Check]:
    """J equals a loop over the pairs; 0 for log-bilinear counts; symmetric counts let the tables be swapped."""
    v = len(model.b)
    counts, tensors = table[:v, :v], [tg.tensor(part) for part in model]
    by_pair = 0.0
    for i, j in zip(*np.nonzero(counts), strict=True):
        gap = model.w[i] @ model.w_context[j] + model.b[i] + model.b_context[j] - math.log(counts[i, j])
        by_pair += min(1.0, (counts[i, j] / 100.0) ** 0.75) * gap**2
    yield same("loop", loss(tensors, tg.tensor(counts)), by_pair)
    exact = np.exp(model.w @ model.w_context.T + model.b[:, None] + model.b_context)
    yield same("log-bilinear counts", loss(tensors, tg.tensor(exact)), 0.0)
    even = tg.tensor(counts + counts.T)
    swapped = [tensors[n] for n in (1, 0, 3, 2)]
    yield same("tables swapped", loss(swapped, even), loss(tensors, even))


@cost.falsification("logarithm of a count of 0")
def log_of_zero(model: Tables, x: tg.Tensor) -> tg.Tensor:
    w, w_context, b, b_context = model
    return tg.sum(weighting(x) * (tg.matmul(w, w_context.T) + b[:, None] + b_context - tg.log(x)) ** 2)


@cost.falsification("one bias only")
def one_bias(model: Tables, x: tg.Tensor) -> tg.Tensor:
    return glove([*model[:3], tg.zeros_like(model[3])], x)


def glove_gradients(model: Vectors, f: Array, r: Array) -> tuple[Array, Array, Array, Array]:
    """∂w_i = 2 Σ_j f r w̃_j, ∂w̃_j = 2 Σ_i f r w_i, ∂b_i = 2 Σ_j f r, ∂b̃_j = 2 Σ_i f r."""
    pull = 2.0 * f * r
    return pull @ model.w_context, pull.T @ model.w, pull.sum(axis=1), pull.sum(axis=0)


@TXT_8.part(model=glove_models(), table=COUNTS, most=50)
def cost_backward(model: Vectors, table: Array, *, gradients: Any = glove_gradients) -> Iterator[Check]:
    """Autodiff gives the gradients by hand, finite with zero counts; those of the words agree with differences."""
    v = len(model.b)
    counts, free = table[:v, :v], [tg.tensor(part, requires_grad=True) for part in model]
    slopes = tg.grad(glove(free, tg.tensor(counts)), free)
    f = np.minimum((counts / 100.0) ** 0.75, 1.0)
    r = model.w @ model.w_context.T + model.b[:, None] + model.b_context - np.log(np.maximum(counts, 1.0))
    for name, slope, expected in zip(("w", "w̃", "b", "b̃"), slopes, gradients(model, f, r), strict=True):
        yield same(f"∂{name}", slope, expected, LIN)
    others = [tg.tensor(part) for part in model[1:]]
    numerical = central_difference(lambda w: glove([tg.tensor(w), *others], tg.tensor(counts)).numpy(), model.w)
    yield same("∂w by differences", slopes[0], numerical, FD)


@cost_backward.falsification("without the 2")
def without_two(model: Vectors, f: Array, r: Array) -> tuple[Array, ...]:
    return tuple(0.5 * slope for slope in glove_gradients(model, f, r))


@cost_backward.falsification("gradients of the two tables exchanged")
def tables_exchanged(model: Vectors, f: Array, r: Array) -> tuple[Array, ...]:
    in_w, in_context, *biases = glove_gradients(model, f, r)
    return (in_context, in_w, *biases)
