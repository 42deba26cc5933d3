"""`python -m unittest test_recipe`: properties of the recipe, and the committed model in stock diffusers. Needs the sprites stage."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import FluxAttnProcessor2_0
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPTokenizer, CLIPVisionConfig

import adapter
import dataset
import fast
import flux
import flux_adapter
import identity
import instruments
import package
import retime
import segmenter
import settings
import trainer
import unet
import vae
import world
from metrics import cut_out, roc_auc
from personalize import Gate
from resampler import Resampler

ASSETS = settings.HERE.parent


class Recipe(unittest.TestCase):
    def test_held_out_pairs_never_occur_in_training(self):
        place, random = world.World(), np.random.default_rng(0)
        endings = {phrase.split("{}")[-1]: setting for setting, phrases in world.SETTINGS.items() for phrase in phrases}
        for _ in range(300):
            scene = place.scene(random, objects=2)
            for setting in (s for ending, s in endings.items() if scene.caption.endswith(ending)):
                self.assertFalse(world.is_held_out([i.noun for i in scene.identities], setting), scene.caption)

    def test_scene_is_reproducible(self):
        place = world.World()
        one, two = (place.scene(np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(one.image, two.image)
        self.assertEqual(one.caption, two.caption)

    def test_changing_an_identity_leaves_the_rest_of_a_scene(self):
        place, random = world.World(), np.random.default_rng(1)
        scene = place.scene(random, objects=2, setting="grass")
        first, second = scene.identities
        tints = ("purple", "green")
        one, two = (
            place.scene(np.random.default_rng(5), identities=[world.Identity(first.noun, first.sprite, t), second], setting="grass")
            for t in tints
        )
        self.assertEqual(one.caption, two.caption)
        np.testing.assert_array_equal(one.masks, two.masks)
        changed = np.abs(one.image - two.image).max(-1) > 0
        self.assertTrue(changed.any())
        self.assertFalse((changed & (one.masks[0] == 0)).any())

    def test_a_question_offers_the_right_identity_first_and_no_other_twice(self):
        asked = identity.questions(np.random.default_rng(0), [3, 15])
        self.assertEqual(asked[:, 0].tolist(), [3, 15])
        self.assertEqual([len(set(row.tolist())) for row in asked], [identity.CHOICES] * 2)

    def test_the_judge_sees_soft_pictures_and_a_quarter_as_they_are(self):
        class Same:  # an autoencoder that loses nothing
            def encode(self, x):
                return type("Encoded", (), {"latent_dist": type("Latents", (), {"mode": lambda _: x})()})()

            def decode(self, x):
                return type("Decoded", (), {"sample": x})()

        pictures = torch.rand(8, 3, world.SIZE, world.SIZE)
        soft = identity.softened(np.random.default_rng(0), pictures, Same())
        self.assertEqual(soft.shape, pictures.shape)
        self.assertTrue(torch.equal(soft[6:], pictures[6:]))
        roughness = lambda x: (x[..., 1:] - x[..., :-1]).square().mean()
        self.assertLess(roughness(soft[:4]), 0.5 * roughness(pictures[:4]))

    def test_an_object_that_is_not_there_is_not_recognised(self):
        judge, picture = identity.Judge().eval(), torch.rand(2, 3, world.SIZE, world.SIZE)
        masks = torch.zeros(2, world.SIZE, world.SIZE, dtype=torch.bool)
        masks[1, 10:40, 10:40] = True
        kind = judge(cut_out(picture[1], masks[1])[None])[0, 0].argmax().item()
        asked = identity.questions(np.random.default_rng(0), [kind, kind])
        self.assertEqual(identity.recognised(judge, picture, masks, torch.tensor([0, 0]), asked).tolist(), [0.0, 1.0])

    def test_folding_keeps_reconstructions_and_normalises_latents(self):
        torch.manual_seed(0)
        model = vae.build().eval()
        images = torch.rand(4, 3, settings.PIXELS, settings.PIXELS) * 2 - 1
        with torch.no_grad():
            latents = model.encode(images).latent_dist.mode()
            folded = vae.fold_latent_statistics(model, latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
            again = folded.encode(images).latent_dist.mode()
            torch.testing.assert_close(again.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
            torch.testing.assert_close(again.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
            torch.testing.assert_close(folded.decode(again).sample, model.decode(latents).sample, atol=1e-4, rtol=1e-4)

    def test_faster_forms_compute_the_same(self):
        torch.manual_seed(0)
        plain, quick = vae.build(), vae.build()
        quick.load_state_dict(plain.state_dict())
        fast.accelerate(quick)
        images = torch.randn(2, 3, 32, 32)
        for model in (plain, quick):
            model.decode(model.encode(images).latent_dist.mode()).sample.square().mean().backward()
        for (name, one), two in zip(plain.named_parameters(), quick.parameters()):
            if one.grad is not None:
                torch.testing.assert_close(two.grad, one.grad, rtol=1e-3, atol=1e-6, msg=name)

    def test_muon_makes_singular_values_alike(self):
        torch.manual_seed(0)
        values = torch.linalg.svdvals(fast.orthogonal(torch.randn(64, 32)))
        self.assertGreater(values.min(), 0.5)
        self.assertLess(values.max(), 1.3)

    def test_object_is_cut_out_and_enlarged(self):
        picture, mask = torch.zeros(3, world.SIZE, world.SIZE), torch.zeros(world.SIZE, world.SIZE, dtype=torch.bool)
        picture[0], mask[10:23, 30:40] = 1.0, True  # red, 13 x 10
        alone = cut_out(picture, mask)
        red = alone[1] < 0.5
        self.assertEqual(red.any(1).sum(), 52)
        self.assertEqual(red.any(0).sum(), 40)
        self.assertTrue((alone[:, 0, 0] == 1).all())

    def test_learning_rate_warms_up_and_ends_low(self):
        rates = [trainer.learning_rate(step, 1000) for step in range(1000)]
        self.assertLess(rates[0], 0.02)
        self.assertEqual(max(rates), 1.0)
        self.assertLessEqual(rates[-1], 0.01)

    def test_a_retimed_embedding_says_what_the_equally_noisy_timestep_said(self):
        torch.manual_seed(0)
        model = UNet2DConditionModel(**unet.CONFIG)
        old, new = unet.scheduler(unet.SD_SCHEDULE), unet.scheduler()
        say = lambda t: torch.nn.functional.silu(model.time_embedding(model.time_proj(torch.tensor([float(t)])))).detach()
        t = 500
        before, unlike = say(retime.equally_noisy(old, new)[t]), say(t)
        self.assertEqual(unet.as_noisy(new, round(retime.equally_noisy(old, new)[t].item())), t)
        retime.retime(model, old, new, steps=500)
        self.assertLess((say(t) - before).norm(), 0.5 * (unlike - before).norm())

    def test_noise_levels_reach_where_a_drawing_is_decided_and_where_nouns_are_placed(self):
        torch.manual_seed(0)
        alpha = unet.scheduler().alphas_cumprod[unet.noise_levels(20_000)]
        signal = (alpha / (1 - alpha)).log()
        share = lambda low, high: ((signal >= low) & (signal < high)).float().mean()
        self.assertGreater(share(-2, 2), 0.3)
        self.assertGreater(share(-5, -2), 0.35)
        self.assertGreater(share(2, 99), 0.05)
        self.assertGreater(share(-99, -4), 0.15)

    def test_a_unet_trained_with_its_adapter_counts_every_weight_once_and_leaves_without_it(self):
        config = dict(unet.CONFIG, block_out_channels=(16, 16, 16))
        model = UNet2DConditionModel(**config)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        fast.accelerate(model)
        together = adapter.Together(model, adapter.Adapter(model, CLIPVisionConfig()))
        count = lambda module: sum(p.numel() for p in module.parameters())
        self.assertEqual(count(together), count(together.adapter) + sum(v.numel() for v in before.values()))
        after = adapter.plain(model).state_dict()
        self.assertEqual(before.keys(), after.keys())
        for name, value in before.items():
            self.assertTrue(torch.equal(value, after[name]), name)

    def test_the_resampler_is_that_of_the_published_plus_adapters(self):
        ours = Resampler(16, 96, 128)
        loader = UNet2DConditionModel(**dict(unet.CONFIG, block_out_channels=(16, 16, 16)))
        theirs = loader._convert_ip_adapter_image_proj_to_diffusers(ours.state_dict())
        states = torch.randn(3, 65, 96)
        torch.testing.assert_close(theirs(states), ours(states), rtol=1e-4, atol=1e-4)

    def test_area_under_the_curve(self):
        positive = np.array([True, True, False, False])
        self.assertEqual(roc_auc(np.array([4.0, 3.0, 2.0, 1.0]), positive), 1.0)
        self.assertEqual(roc_auc(np.array([1.0, 1.0, 1.0, 1.0]), positive), 0.5)

    def test_mask_is_largest_at_one_and_covers_the_named_tokens(self):
        probabilities = torch.rand(2, 4, 9, 77).softmax(-1)
        mask = Gate([(2, 4)]).mask(probabilities)
        expected = probabilities[1, :, :, 2:4].mean((0, 2))
        torch.testing.assert_close(mask[0], expected / expected.max(), rtol=1e-4, atol=0)

    def test_committed_model_samples_in_stock_diffusers(self):
        picture = package.sample_with_diffusers(ASSETS / "tiny-sd", package.shown(ASSETS / "tiny-sd"), "an apple and a rocket on the beach", steps=4)
        self.assertEqual(picture.size, (settings.PIXELS, settings.PIXELS))
        self.assertGreater(np.asarray(picture).std(), 5)


class Flux(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.model = flux.Flux(FluxTransformer2DModel(**flux.CONFIG), vocabulary=200).eval().requires_grad_(False)
        for module in self.model.transformer.modules():  # blocks begin as the identity
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.normal_(module.weight, std=0.05)
        self.inputs = (torch.randn(2, 64, 16), torch.rand(2), torch.randn(2, flux.TOKENS, 128), torch.randn(2, 128), torch.tensor([1.0, 3.5]))

    def test_faster_attention_computes_the_same(self):
        fast_one = self.model.velocity(*self.inputs)
        transformer = self.model.transformer
        for block in [*transformer.transformer_blocks, *transformer.single_transformer_blocks]:
            block.attn.set_processor(FluxAttnProcessor2_0())
        torch.testing.assert_close(self.model.velocity(*self.inputs), fast_one, rtol=1e-4, atol=1e-4)

    def test_a_reference_that_nothing_sees_changes_nothing(self):
        packed, *rest = self.inputs
        streams = flux_adapter.Conditioned(self.model, flux_adapter.Omini(self.model.transformer))
        seen = flux.TOKENS + flux.SIDE**2
        bias = torch.zeros(seen + flux.SIDE**2, seen + flux.SIDE**2)
        with torch.no_grad():
            open_to = streams(packed, torch.randn_like(packed), *rest, bias)
            bias[:seen, seen:] = -torch.inf
            alone = streams(packed, torch.randn_like(packed), *rest, bias)
        torch.testing.assert_close(alone, self.model.velocity(*self.inputs), rtol=1e-4, atol=1e-4)
        self.assertGreater((open_to - alone).abs().max(), 0.01)

    def test_packing_is_undone(self):
        latents = torch.randn(2, 4, 16, 16)
        torch.testing.assert_close(flux.unpack(flux.pack(latents)), latents)

    def test_every_caption_fits_and_nouns_are_found(self):
        tokens, place, random = flux.make_tokenizer(), world.World(), np.random.default_rng(5)
        for _ in range(200):
            scene = place.scene(random)
            ids = tokens(scene.caption).input_ids
            self.assertLessEqual(len(ids), flux.TOKENS)
            self.assertNotIn(tokens.unk_token_id, ids)

    def test_steps_are_those_of_the_stock_pipeline(self):
        levels = flux.sigmas(20)
        self.assertEqual((levels[0], levels[-1]), (1.0, 0.0))
        mu = 0.5 + (64 - 256) * (1.15 - 0.5) / (4096 - 256)
        at = np.linspace(1, 1 / 20, 20)[10]
        self.assertAlmostEqual(levels[10].item(), np.exp(mu) / (np.exp(mu) + 1 / at - 1), places=5)


class Dataset(unittest.TestCase):
    """The committed `../world`."""

    FOLDER = ASSETS / "world"

    def rows(self, name: str, folder: Path = FOLDER) -> list[dict]:
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    def pixels(self, *path: str) -> np.ndarray:
        with Image.open(self.FOLDER.joinpath(*path)) as picture:
            self.assertEqual(picture.size, (world.SIZE, world.SIZE))
            return np.asarray(picture)

    def test_the_committed_files_are_what_the_stage_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            again = Path(folder) / "world"
            dataset.write(again)
            for path in (p for p in again.rglob("*") if p.is_file()):
                committed = self.FOLDER / path.relative_to(again)
                if path.suffix == ".png":  # the packing of a PNG depends on the library, its pixels do not
                    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(committed)), str(path))
                else:
                    self.assertEqual(path.read_text(), committed.read_text(), str(path))

    def test_scenes_are_held_out_and_every_object_has_a_mask_of_its_own(self):
        rows, ends = self.rows("scenes/scenes.jsonl"), {}
        for row in rows:
            self.assertEqual(self.pixels("scenes", row["image"]).shape[2:], (3,))
            masks = [self.pixels("scenes", o["mask"]) for o in row["objects"]]
            self.assertFalse((np.minimum(*masks) > 0).any())
            for mask in masks:
                self.assertLessEqual(set(np.unique(mask)), {0, 255})
                self.assertGreaterEqual((mask > 0).sum(), 100)
            where = [row["caption"].index(o["phrase"]) for o in row["objects"]]
            self.assertEqual(where, sorted(where))
            for setting, phrases in world.SETTINGS.items():
                if any(row["caption"].endswith(p.split("{}")[-1]) for p in phrases):
                    ends[setting] = ends.get(setting, 0) + 1
                    self.assertTrue(world.is_held_out([o["phrase"] for o in row["objects"]], setting), row)
        self.assertEqual(len(rows), 100)
        self.assertEqual(set(ends), set(world.SETTINGS))
        self.assertEqual({o["phrase"] for row in rows for o in row["objects"]}, set(world.NOUNS))

    def test_prompts_name_their_subjects_first_and_second_equally_often(self):
        subjects = {row["id"]: row for row in self.rows("subjects/subjects.jsonl")}
        rows = self.rows("prompts.jsonl")
        self.assertEqual(len({(row["prompt"], row["subject"]) for row in rows}), 100)
        self.assertEqual({row["subject"] for row in rows}, set(subjects))
        for row in rows:
            self.assertEqual(subjects[row["subject"]]["phrase"], row["phrase"])
            self.assertTrue(row["prompt"].endswith(" " + row["setting"]))
        first = sum(row["prompt"].index(row["phrase"]) < row["prompt"].index(row["others"][0]) for row in rows)
        self.assertEqual(first, 50)

    def test_a_concept_stands_once_and_where_its_position_says(self):
        tokens = CLIPTokenizer.from_pretrained(ASSETS / "tiny-sd" / "tokenizer")
        rows = self.rows("concepts.jsonl")
        self.assertEqual(len({row["id"] for row in rows}), 50)
        for row in rows:
            part = tokens.tokenize(row["phrase"])
            self.assertIn(row["class"], ["setting", *world.NOUNS])
            for entry in row["prompts"]:
                whole = tokens.tokenize(entry["prompt"])
                starts = [k for k in range(len(whole)) if whole[k : k + len(part)] == part]
                self.assertEqual(len(starts), 1, entry)
                ahead = sum(entry["prompt"].index(o) < entry["prompt"].index(row["phrase"]) for o in entry["others"])
                count = len(entry["others"])
                said = {"only": count == 0, "first": ahead == 0, "middle": 0 < ahead < count, "last": ahead == count > 0}
                self.assertTrue(said[entry["position"]], entry)


class CommittedInstruments(unittest.TestCase):
    """The committed `../world/clip` and `../world/judge`."""

    def setUp(self):
        self.committed = instruments.Instruments(ASSETS / "world", ASSETS / "tiny-sd")

    def test_golden_values_are_what_the_committed_files_say(self):
        tensors, described = instruments.golden(self.committed, ASSETS / "world")
        with safe_open(ASSETS.parent / "tests" / "fixtures" / "scorer.safetensors", "pt") as file:
            self.assertEqual(file.metadata(), described)
            self.assertEqual(set(file.keys()), set(tensors))
            for name, value in tensors.items():
                torch.testing.assert_close(file.get_tensor(name), value, rtol=1e-4, atol=1e-4, msg=name)

    def test_the_description_of_the_judge_suffices_to_run_it(self):
        config = json.loads((ASSETS / "world" / "judge" / "config.json").read_text())
        tensors = load_file(ASSETS / "world" / "judge" / "model.safetensors")
        pair = lambda layer: [tensors[f"{layer['tensors']}.{part}"].float() for part in ("weight", "bias")]
        run = {
            "pixel_unshuffle": lambda x, of: F.pixel_unshuffle(x, of["factor"]),
            "conv2d": lambda x, of: F.conv2d(x, *pair(of), padding=of["padding"]),
            "group_norm": lambda x, of: F.group_norm(x, of["groups"], *pair(of), eps=of["eps"]),
            "silu": lambda x, of: F.silu(x),
            "max_pool2d": lambda x, of: F.max_pool2d(x, of["kernel"], of["stride"]),
            "flatten": lambda x, of: x.flatten(1),
            "linear": lambda x, of: F.linear(x, *pair(of)),
            "unflatten": lambda x, of: x.unflatten(1, of["shape"]),
        }
        pictures = torch.rand(3, *config["input"]["shape"][1:])
        x = pictures
        for layer in config["layers"]:
            x = run[layer["type"]](x, layer)
        torch.testing.assert_close(x, self.committed.judge(pictures).detach())
        named = {layer["tensors"] for layer in config["layers"] if "tensors" in layer}
        self.assertEqual({name.rpartition(".")[0] for name in tensors}, named)

    def test_the_judge_names_the_subject_of_a_reference(self):
        config = json.loads((ASSETS / "world" / "judge" / "config.json").read_text())
        rows = [json.loads(line) for line in (ASSETS / "world" / "subjects" / "subjects.jsonl").read_text().splitlines()]
        right = 0
        for row in rows:
            image = torch.from_numpy(np.array(Image.open(ASSETS / "world" / "subjects" / row["images"][0]))).permute(2, 0, 1) / 255
            labels, _ = segmenter.areas(self.committed.oracle, image[None])
            noun = config["nouns"].index(row["class"])
            logits = self.committed.judge(cut_out(image, labels[0] == 1 + noun)[None])[0, noun]
            right += config["classes"][noun][logits.argmax()] == row["id"]
        self.assertGreaterEqual(right, 20)  # of 24


if __name__ == "__main__":
    unittest.main()
