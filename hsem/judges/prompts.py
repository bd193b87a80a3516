"""Prompts that turn CLIP into a classifier: (positive, negative) per attribute."""

from __future__ import annotations

PAPER_PROMPTS: dict[str, tuple[str, str]] = {
    "smile": ("A smiling person", "A person"),
    "glasses": ("A person wearing glasses", "A person"),
    "age": ("An old person", "A young person"),
    "gender": ("A man", "A woman"),
    "hat": ("A person wearing a hat", "A person"),
}
"""Section V-c, word for word. Which of "A man" and "A woman" is positive is not said; here the
first one is, so that a high score says "man", as in CelebA."""

CELEBA_PROMPTS: dict[str, tuple[str, str]] = {
    "5_o_Clock_Shadow": ("A person with stubble", "A clean-shaven person"),
    "Arched_Eyebrows": ("A person with arched eyebrows", "A person with straight eyebrows"),
    "Attractive": ("An attractive person", "A person"),
    "Bags_Under_Eyes": ("A person with bags under the eyes", "A person"),
    "Bald": ("A bald person", "A person with hair"),
    "Bangs": ("A person with bangs", "A person without bangs"),
    "Big_Lips": ("A person with big lips", "A person with thin lips"),
    "Big_Nose": ("A person with a big nose", "A person with a small nose"),
    "Black_Hair": ("A person with black hair", "A person"),
    "Blond_Hair": ("A person with blond hair", "A person"),
    "Blurry": ("A blurry photo of a person", "A sharp photo of a person"),
    "Brown_Hair": ("A person with brown hair", "A person"),
    "Bushy_Eyebrows": ("A person with bushy eyebrows", "A person with thin eyebrows"),
    "Chubby": ("A chubby person", "A slim person"),
    "Double_Chin": ("A person with a double chin", "A person"),
    "Eyeglasses": ("A person wearing glasses", "A person"),
    "Goatee": ("A person with a goatee", "A clean-shaven person"),
    "Gray_Hair": ("A person with gray hair", "A person"),
    "Heavy_Makeup": ("A person wearing heavy makeup", "A person without makeup"),
    "High_Cheekbones": ("A person with high cheekbones", "A person"),
    "Male": ("A man", "A woman"),
    "Mouth_Slightly_Open": ("A person with an open mouth", "A person with a closed mouth"),
    "Mustache": ("A person with a mustache", "A person without a mustache"),
    "Narrow_Eyes": ("A person with narrow eyes", "A person with wide open eyes"),
    "No_Beard": ("A person without a beard", "A person with a beard"),
    "Oval_Face": ("A person with an oval face", "A person"),
    "Pale_Skin": ("A person with pale skin", "A person"),
    "Pointy_Nose": ("A person with a pointy nose", "A person with a round nose"),
    "Receding_Hairline": ("A person with a receding hairline", "A person"),
    "Rosy_Cheeks": ("A person with rosy cheeks", "A person"),
    "Sideburns": ("A person with sideburns", "A person without sideburns"),
    "Smiling": ("A smiling person", "A person"),
    "Straight_Hair": ("A person with straight hair", "A person with wavy hair"),
    "Wavy_Hair": ("A person with wavy hair", "A person with straight hair"),
    "Wearing_Earrings": ("A person wearing earrings", "A person"),
    "Wearing_Hat": ("A person wearing a hat", "A person"),
    "Wearing_Lipstick": ("A person wearing lipstick", "A person without lipstick"),
    "Wearing_Necklace": ("A person wearing a necklace", "A person"),
    "Wearing_Necktie": ("A person wearing a necktie", "A person"),
    "Young": ("A young person", "An old person"),
}
"""The 40 attributes of CelebA (Liu et al., 2015), with prompts of ours: the paper uses the five
above. Several attributes are judgements ("Attractive") or binary labels of what is not binary;
a score says what a model associates with a phrase, not what a person is."""

CELEBA_NAMES: tuple[str, ...] = tuple(CELEBA_PROMPTS)

PORTRAIT_PROMPTS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "age": (("An old person", "A young person"), ("An elderly face", "A youthful face")),
    "gender": (("A man", "A woman"), ("A male face", "A female face")),
    "skin_tone": (
        ("A person with dark skin", "A person with pale skin"),
        ("A dark-skinned face", "A fair-skinned face"),
    ),
    "smile": (("A smiling person", "A person"), ("A happy, grinning face", "A serious face")),
    "mouth_open": (
        ("A person with an open mouth", "A person with a closed mouth"),
        ("A face whose mouth is wide open", "A face with its lips pressed together"),
    ),
    "eye_open": (
        ("A person with wide open eyes", "A person with closed eyes"),
        ("A face staring with big eyes", "A sleeping face, eyes shut"),
    ),
    "brow_raise": (
        ("A person with raised eyebrows", "A person with lowered eyebrows"),
        ("A surprised face, brows up", "A frowning face, brows down"),
    ),
    "beard": (
        ("A person with a beard", "A person without a beard"),
        ("A bearded face", "A clean-shaven face"),
    ),
    "makeup": (
        ("A person wearing heavy makeup", "A person without makeup"),
        ("A face with lipstick and eyeshadow", "A bare face"),
    ),
    "hair_lightness": (
        ("A person with blond hair", "A person with black hair"),
        ("A face framed by light hair", "A face framed by dark hair"),
    ),
    "hair_grey": (
        ("A person with gray hair", "A person with brown hair"),
        ("A grey-haired head", "A brown-haired head"),
    ),
    "light_azimuth": (
        ("A portrait lit from the right", "A portrait lit from the left"),
        ("A face with shadow on its left side", "A face with shadow on its right side"),
    ),
    "light_elevation": (
        ("A portrait lit from above", "A portrait lit from below"),
        ("A face under a ceiling lamp", "A face above a footlight"),
    ),
    "light_ambient": (
        ("A portrait in soft, even light", "A portrait in hard light"),
        ("A face under an overcast sky", "A face under a spotlight"),
    ),
    "background": (
        ("A portrait before a bright background", "A portrait before a dark background"),
        ("A face against white", "A face against black"),
    ),
    "glasses": (
        ("A person wearing glasses", "A person"),
        ("A face with spectacles", "A face with nothing before its eyes"),
    ),
    "sunglasses": (
        ("A person wearing sunglasses", "A person wearing glasses"),
        ("A face with dark lenses", "A face whose eyes are seen"),
    ),
    "hat": (("A person wearing a hat", "A person"), ("A head under a cap", "A bare head")),
    "long_hair": (
        ("A person with long hair", "A person with short hair"),
        ("Hair that falls over the shoulders", "Hair cropped close to the head"),
    ),
}
"""What the judges of `portraits-64` read, asked of CLIP in two wordings: of the judge that chooses,
then of the judge that measures, each (positive, negative). Head pose is not asked of CLIP."""

CHURCH_PROMPTS: dict[str, tuple[str, str]] = {
    "night": ("A photo of a church at night", "A photo of a church by day"),
    "cloudy": ("A church under a cloudy sky", "A church under a blue sky"),
    "snow": ("A church in the snow", "A church in summer"),
    "trees": ("A church behind trees", "A church on an open square"),
    "near": ("A close-up of a church", "A church far away"),
    "tower": ("A church with a tall tower", "A church without a tower"),
    "stone": ("A grey stone church", "A white church"),
    "wood": ("A wooden church", "A stone church"),
    "side": ("A church seen from the side", "A church seen from the front"),
    "people": ("People before a church", "A church, nobody there"),
}
"""SM H: what may differ between churches, written down before looking at any component."""

BEDROOM_PROMPTS: dict[str, tuple[str, str]] = {
    "dark": ("A dark bedroom", "A bright bedroom"),
    "window": ("A bedroom with a large window", "A bedroom without a window"),
    "lamp": ("A bedroom with lamps switched on", "A bedroom in daylight"),
    "two_beds": ("A bedroom with two beds", "A bedroom with one bed"),
    "colourful": ("A colourful bedroom", "A white bedroom"),
    "wood": ("A bedroom with wooden furniture", "A bedroom with white furniture"),
    "pictures": ("A bedroom with pictures on the wall", "A bedroom with bare walls"),
    "near": ("A close-up of a bed", "A large bedroom"),
    "side": ("A bed seen from the side", "A bed seen from its foot"),
    "messy": ("A messy bedroom", "A tidy bedroom"),
}
"""The same for bedrooms, as many: a longer list would explain more by its length alone."""
