"""Maps of every method against the same definitions in plain PyTorch, and against pytorch-grad-cam."""
import itertools

import pytest
import timm
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timm.models.swin_transformer import SwinTransformer, window_partition
from timm.models.vision_transformer import VisionTransformer

from harness import absolute_error, images, randomised

CLASS = 3
pytestmark = pytest.mark.usefixtures("unfused")


def recorded(peer, x):
    """Attention and its gradient for the logit of CLASS, one pair [B,H,N,M] a layer, first layer first."""
    maps, hooks = [], []

    def keep(_module, inputs, _output):
        inputs[0].retain_grad()
        maps.append(inputs[0])

    for name, module in peer.named_modules():
        if name.endswith(".attn_drop"):
            hooks.append(module.register_forward_hook(keep))
    peer(x.clone().requires_grad_())[0, CLASS].backward()
    for hook in hooks:
        hook.remove()
    return [(a.detach().double(), a.grad.double()) for a in maps]


def weighed(attention, gradient):
    return (attention * gradient).clamp(min=0)


def product_of_rows(matrices, normalise):
    """Every matrix of tokens in full, first layer first: the product of (A + I)."""
    result = torch.eye(matrices[0].shape[-1], dtype=torch.float64)
    for matrix in matrices:
        step = matrix + torch.eye(len(matrix), dtype=torch.float64)
        result = (step / step.sum(-1, keepdim=True) if normalise else step) @ result
    return result


def close(heat, expected):
    assert absolute_error(heat, expected.float(), scale=max(1.0, expected.abs().max().item())) < 1e-4


# --- ViT -------------------------------------------------------------------------------------------------------------

SIDE = 4  # patches


@pytest.fixture(scope="module", params=["vit", "distilled"])
def vit(request):
    distilled = request.param == "distilled"
    make = timm.models.deit.VisionTransformerDistilled if distilled else VisionTransformer
    timm.layers.set_fused_attn(False)
    peer = randomised(make(img_size=64, patch_size=16, embed_dim=48, depth=3, num_heads=3, num_classes=7))
    subject = {"kind": "vit", "image_size": 64, "patch": 16, "dim": 48, "depth": 3, "heads": 3, "num_classes": 7,
               "distilled": distilled}
    x = images(1, 3, 64, 64)
    return peer, subject, x, recorded(peer, x), 2 if distilled else 1


def heat_of(tool, peer, subject, x, **options):
    return tool.run(subject, peer, x, explain=options)["heat"]


def patches(row, prefix):
    return row[prefix:].view(SIDE, SIDE)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("head", [None, 1])
def test_attention_of_vit(tool, vit, layer, head):
    peer, subject, x, maps, prefix = vit
    options = {"layer": str(layer)} | ({} if head is None else {"head": head})
    for method, matrix in (("attention", maps[layer][0][0]), ("gradient-attention", weighed(*maps[layer])[0])):
        fused = matrix.mean(0) if head is None else matrix[head]
        extra = {"class": CLASS} if method != "attention" else {}
        close(heat_of(tool, peer, subject, x, method=method, **options, **extra), patches(fused[0], prefix))
        close(heat_of(tool, peer, subject, x, method=method, query=5, **options, **extra), patches(fused[5], prefix))


def test_rollouts_of_vit(tool, vit):
    peer, subject, x, maps, prefix = vit
    plain = product_of_rows([a[0].mean(0) for a, _ in maps], normalise=True)
    close(heat_of(tool, peer, subject, x, method="rollout"), patches(plain[0], prefix))
    one = product_of_rows([a[0][2] for a, _ in maps], normalise=True)
    close(heat_of(tool, peer, subject, x, method="rollout", head=2, query=7), patches(one[7], prefix))
    by_gradient = product_of_rows([weighed(*m)[0].mean(0) for m in maps], normalise=True)
    close(heat_of(tool, peer, subject, x, method="gradient-rollout", **{"class": CLASS}), patches(by_gradient[0], prefix))


def test_relevance_of_vit(tool, vit):
    """Chefer et al., algorithm for self-attention: R = I; R = R + Ā·R."""
    peer, subject, x, maps, prefix = vit
    relevance = torch.eye(len(maps[0][0][0, 0]), dtype=torch.float64)
    for attention, gradient in maps:
        relevance = relevance + weighed(attention, gradient)[0].mean(0) @ relevance
    close(heat_of(tool, peer, subject, x, method="relevance", **{"class": CLASS}), patches(relevance[0], prefix))


# --- Swin ------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module", params=[(64, 64), (56, 72)], ids=str)
def swin(request):
    timm.layers.set_fused_attn(False)
    options = dict(patch_size=4, embed_dim=24, depths=(2, 2, 2), num_heads=(2, 2, 4), window_size=4, num_classes=7)
    peer = randomised(SwinTransformer(img_size=64, strict_img_size=False, **options))
    subject = {"kind": "swin", "image_size": 64, "patch": 4, "dim": 24, "depths": [2, 2, 2], "heads": [2, 2, 4],
               "window": 4, "num_classes": 7}
    x = images(1, 3, *request.param)
    return peer, subject, x, recorded(peer, x)


def token_numbers(block, height, width):
    """Which token stands at each place of each window, −1 for padding: [windows,W²]."""
    window, shift = block.window_size[0], block.shift_size
    grid = torch.arange(height * width).view(1, height, width, 1)
    grid = torch.roll(grid, (-shift[0], -shift[1]), (1, 2))
    grid = torch.nn.functional.pad(grid, (0, 0, 0, -width % window, 0, -height % window), value=-1)
    return window_partition(grid, (window, window)).view(-1, window * window)


def dense(windows, numbers, tokens):
    """[windows,W²,W²] → [N,N], nothing to or from padding."""
    matrix = torch.zeros(tokens + 1, tokens + 1, dtype=torch.float64)
    for values, places in zip(windows, numbers):
        matrix[places[:, None].expand(-1, len(places)), places[None].expand(len(places), -1)] = values
    return matrix[:-1, :-1]


def merging(height, width):
    """[merged tokens, tokens]: equal parts of the 2×2 that exist."""
    rows, columns = (height + 1) // 2, (width + 1) // 2
    matrix = torch.zeros(rows * columns, height * width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            matrix[i // 2 * columns + j // 2, i * width + j] = 1
    return matrix / matrix.sum(1, keepdim=True)


def swin_flow(peer, x, matrices, normalise):
    """The product over blocks and merged patches, [last tokens, first tokens], and that of the identities alone."""
    height, width = x.shape[2] // 4, x.shape[3] // 4
    full = direct = torch.eye(height * width, dtype=torch.float64)
    layer = 0
    for stage, module in enumerate(peer.layers):
        if stage > 0:
            full, direct = merging(height, width) @ full, merging(height, width) @ direct
            height, width = (height + 1) // 2, (width + 1) // 2
        for block in module.blocks:
            tokens = height * width
            step = dense(matrices[layer], token_numbers(block, height, width), tokens) + torch.eye(tokens)
            full = (step / step.sum(-1, keepdim=True) if normalise else step) @ full
            layer += 1
    return full, direct


def test_rollouts_of_swin(tool, swin):
    peer, subject, x, maps = swin
    shape = (x.shape[2] // 4, x.shape[3] // 4)
    full, _ = swin_flow(peer, x, [a.mean(1) for a, _ in maps], normalise=True)
    assert torch.allclose(full.sum(1), torch.ones(len(full), dtype=torch.float64))
    heat = heat_of(tool, peer, subject, x, method="rollout")
    close(heat, full.mean(0).view(shape))
    assert abs(heat.sum().item() - 1) < 1e-5
    close(heat_of(tool, peer, subject, x, method="rollout", query=3), full[3].view(shape))
    by_gradient, _ = swin_flow(peer, x, [weighed(*m).mean(1) for m in maps], normalise=True)
    close(heat_of(tool, peer, subject, x, method="gradient-rollout", **{"class": CLASS}), by_gradient.mean(0).view(shape))


def test_relevance_of_swin(tool, swin):
    peer, subject, x, maps = swin
    full, direct = swin_flow(peer, x, [weighed(*m).mean(1) for m in maps], normalise=False)
    expected = (full - direct).mean(0).view(x.shape[2] // 4, x.shape[3] // 4)
    heat = heat_of(tool, peer, subject, x, method="relevance", **{"class": CLASS})
    assert absolute_error(heat, expected.float(), scale=expected.abs().max().item()) < 1e-4


# --- class activation maps -------------------------------------------------------------------------------------------

CAMS = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "layercam": LayerCAM, "eigencam": EigenCAM}


def cam_image(kind, peer, x, layer, reshape):
    """The map of pytorch-grad-cam before it is scaled and resampled to the picture."""
    with CAMS[kind](model=peer, target_layers=[layer], reshape_transform=reshape) as cam:
        targets = [ClassifierOutputTarget(CLASS)]
        outputs = cam.activations_and_grads(x.clone().requires_grad_())
        peer.zero_grad()
        if cam.uses_gradients:
            sum(target(output) for target, output in zip(targets, outputs)).backward()
        activations = cam.activations_and_grads.activations[0].numpy()
        gradients = cam.activations_and_grads.gradients[0].numpy() if cam.uses_gradients else None
        return torch.from_numpy(cam.get_cam_image(x, layer, targets, activations, gradients, False)[0])


def expect_cam(tool, kind, peer, subject, x, module, reshape=None, **options):
    expected = cam_image(kind, peer, x, module, reshape)
    target = {} if kind == "eigencam" else {"class": CLASS}
    heat = heat_of(tool, peer, subject, x, method=kind, **target, **options)
    candidates = [expected, -expected] if kind == "eigencam" else [expected]  # the sign of an axis is free
    errors = [(heat - candidate.clamp(min=0)).abs().max() / candidate.abs().max() for candidate in candidates]
    assert min(errors) < 1e-4


@pytest.mark.parametrize("kind", CAMS)
@pytest.mark.parametrize("layer", ["", "layer3"])
def test_cams_of_resnet(tool, kind, layer):
    peer = randomised(timm.create_model("seresnet18", num_classes=7))
    subject = {"kind": "model", "name": "seresnet18", "num_classes": 7}
    x = images(1, 3, 96, 128)
    expect_cam(tool, kind, peer, subject, x, peer.layer3 if layer else peer.layer4, **({"layer": layer} if layer else {}))


@pytest.mark.parametrize("kind", CAMS)
def test_cams_of_vit(tool, vit, kind):
    peer, subject, x, _, prefix = vit
    expect_cam(tool, kind, peer, subject, x, peer.blocks[-1].norm1,
               lambda t: t[:, prefix:].reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2))
    expect_cam(tool, kind, peer, subject, x, peer.blocks[1].norm2,
               lambda t: t[:, prefix:].reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2), layer="blocks.1.norm2")


@pytest.mark.parametrize("kind", CAMS)
def test_cams_of_swin(tool, swin, kind):
    peer, subject, x, _ = swin
    expect_cam(tool, kind, peer, subject, x, peer.norm, lambda t: t.permute(0, 3, 1, 2))
    expect_cam(tool, kind, peer, subject, x, peer.layers[1].blocks[1].norm1, lambda t: t.permute(0, 3, 1, 2),
               layer="layers.1.blocks.1.norm1")


# --- occlusion -------------------------------------------------------------------------------------------------------

def expect_occlusion(tool, peer, subject, x, height, width):
    """Four windows of two by two cells hide each cell; the edges of cells are rounded down."""
    ys, xs = ([cell * side // cells for cell in range(cells + 1)] for side, cells in ((x.shape[2], height), (x.shape[3], width)))
    windows = []  # [classes] each, by the cell that they end behind
    with torch.no_grad():
        for row, column in itertools.product(range(height + 1), range(width + 1)):
            hidden = x.clone()
            hidden[:, :, ys[max(row - 1, 0)]:ys[min(row + 1, height)], xs[max(column - 1, 0)]:xs[min(column + 1, width)]] = 0
            windows.append(peer(x)[0] - peer(hidden)[0])
    lost = torch.stack(windows).view(height + 1, width + 1, -1)
    kind = lost.sum((0, 1)).argmax().item()
    lost = lost[:, :, kind]
    expected = ((lost[:-1, :-1] + lost[1:, :-1] + lost[:-1, 1:] + lost[1:, 1:]) / 4).clamp(min=0)
    assert expected.max() > 0.1 * lost.abs().max()
    heat = heat_of(tool, peer, subject, x, method="occlusion", **{"class": kind})
    assert absolute_error(heat, expected, scale=lost.abs().max().item()) < 1e-4


def test_occlusion_of_resnet(tool):
    peer = randomised(timm.create_model("seresnet18", num_classes=7))
    subject = {"kind": "model", "name": "seresnet18", "num_classes": 7}
    expect_occlusion(tool, peer, subject, images(1, 3, 90, 131), 3, 5)  # cells of unequal size, more than one batch


def test_occlusion_of_vit(tool, vit):
    peer, subject, x, _, _ = vit
    expect_occlusion(tool, peer, subject, x, SIDE, SIDE)


def test_occlusion_of_swin(tool, swin):
    peer, subject, x, _ = swin
    height, width = x.shape[2] // 4, x.shape[3] // 4
    for _ in peer.layers[1:]:
        height, width = (height + 1) // 2, (width + 1) // 2
    expect_occlusion(tool, peer, subject, x, height, width)
