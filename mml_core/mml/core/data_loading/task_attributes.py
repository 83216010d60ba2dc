"""The vocabulary of task descriptions: enumerations and small records, stored by their values."""

from enum import StrEnum

import msgspec


class TaskType(StrEnum):
    """What is to be learnt."""

    CLASSIFICATION = "classification"
    MULTILABEL_CLASSIFICATION = "multilabel_classification"
    REGRESSION = "regression"
    SEMANTIC_SEGMENTATION = "semantic_segmentation"
    NO_TASK = "no_task"


class Modality(StrEnum):
    """What a sample holds, and under which key."""

    SAMPLE_ID = "sample_id"
    IMAGE = "image"
    CLASS = "class"
    CLASSES = "classes"
    SOFT_CLASSES = "soft_classes"
    MASK = "mask"
    VALUE = "value"


class DataSplit(StrEnum):
    """A part of a task's samples; train and validation part of `FULL_TRAIN` by fold."""

    TRAIN = "train"
    VAL = "val"
    FULL_TRAIN = "full_train"
    TEST = "test"
    UNLABELED = "unlabeled"


class Keyword(StrEnum):
    """What the images show and where they come from."""

    ANATOMICAL_STRUCTURES = "anatomical_structures"
    ANIMALS = "animals"
    ARTIFICIAL = "artificial"
    BONE = "bone"
    BRAIN = "brain"
    BREAST = "breast"
    CAPSULE_ENDOSCOPY = "capsule_endoscopy"
    CATARACT_SURGERY = "cataract_surgery"
    CHARS_DIGITS = "chars_digits"
    CHEST = "chest"
    CLE = "confocal_laser_endomicroscopy"
    CLOTHES = "clothes"
    CT_SCAN = "ct_scan"
    DERMATOSCOPY = "dermatoscopy"
    DRIVING = "driving"
    ENDOSCOPIC_INSTRUMENTS = "endoscopic_instruments"
    ENDOSCOPY = "endoscopy"
    EYE = "eye"
    FUNDUS_PHOTOGRAPHY = "fundus_photography"
    GASTROSCOPY_COLONOSCOPY = "gastroscopy_colonoscopy"
    GYNECOLOGY = "gynecology"
    HANDWRITINGS = "handwritings"
    IMAGE_ARTEFACTS = "image_artefacts"
    INSTRUMENT_COUNT = "instrument_count"
    LAPAROSCOPY = "laparoscopy"
    LARYNGOSCOPY = "laryngoscopy"
    MEDICAL = "medical"
    MRI_SCAN = "mri_scan"
    NATURAL_OBJECTS = "natural_objects"
    NEPHRECTOMY = "nephrectomy"
    SCENES = "scenes"
    TISSUE_PATHOLOGY = "tissue_pathology"
    ULTRASOUND = "ultrasound"
    X_RAY = "x_ray"


class License(StrEnum):
    """The terms under which the images may be used."""

    CC_0_1_0 = "CC0 1.0"
    CC_BY_4_0 = "CC BY 4.0"
    CC_BY_SA_4_0 = "CC BY-SA 4.0"
    CC_BY_NC_4_0 = "CC BY-NC 4.0"
    CC_BY_NC_SA_4_0 = "CC BY-NC-SA 4.0"
    DATABASE_CONTENTS_LICENSE_1_0 = "Database Contents License (DbCL) v1.0"
    MIT = "MIT"
    BSD_3_CLAUSE = "BSD 3-Clause"
    CUSTOM = "custom"
    UNKNOWN = "unknown"


class RGBInfo(msgspec.Struct, frozen=True, array_like=True):
    """One number per channel, red, green, blue, on the scale of pixel values in [0, 1]."""

    r: float
    g: float
    b: float

    def get_rgb(self) -> tuple[float, float, float]:
        """Return the three numbers."""
        return self.r, self.g, self.b


class Sizes(msgspec.Struct, frozen=True):
    """The range of image sizes, in pixels."""

    min_height: int
    max_height: int
    min_width: int
    max_width: int

    @property
    def uniform(self) -> bool:
        """Tell whether all images have one size."""
        return self.min_height == self.max_height and self.min_width == self.max_width
