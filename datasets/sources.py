"""Where the real data of each dataset come from: official addresses, licences, and what has to be done by hand.

Only data whose licence lets anybody download them have addresses of files. All else says what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """A file that is downloaded.

    Attributes:
        path: below ``Source.base``, and as the list of checksums names it.
        place: below the folder of the dataset; a name that ends with ``/`` is a folder into which an archive is unpacked.
        size: bytes, about, which are said before anything is downloaded.
        sha256: its checksum (hex), where ``Source.sums`` does not say it.
    """

    path: str
    place: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Source:
    """The source of a dataset.

    Attributes:
        licence: its name, or its terms in one line.
        licence_address: where its text stands.
        base: the address below which the files lie; empty where they cannot be downloaded by a program.
        files: what is downloaded.
        sums: a list of SHA-256 below ``base``, as ``sha256sum`` writes it; empty where each file states its own.
        by_hand: what to do where ``base`` is empty, in one sentence.
        citation: what its authors ask to be cited.
    """

    licence: str
    licence_address: str
    base: str = ""
    files: tuple[RemoteFile, ...] = ()
    sums: str = ""
    by_hand: str = ""
    citation: str = ""


_MMSA = Source(
    "for research; the videos belong to those who made them",
    "https://github.com/thuiar/MMSA",
    by_hand="open https://github.com/thuiar/MMSA, follow its link to the processed features, accept the terms there, and put {files} "
    "into {folder}",
    citation="Mao et al., M-SENA, ACL 2022 demonstrations, and the authors of the dataset",
)

_CHIPSAL = Source(
    "stated by the organisers to those who take part",
    "https://arxiv.org/abs/2604.14218",
    by_hand="ask the organisers of the workshop CHiPSAL 2026 (the paper https://arxiv.org/abs/2604.14218 names the shared task) for "
    "the list (index, text, label) and the images, and put both into {folder}; docs/media.md says how they are encoded",
    citation="the organisers' overview of the shared task of CHiPSAL at LREC 2026",
)

#: Dataset -> its source.
SOURCES: Mapping[str, Source] = {
    "physionet2012": Source(
        "Open Data Commons Attribution License 1.0",
        "https://physionet.org/content/challenge-2012/view-license/1.0.0/",
        base="https://physionet.org/files/challenge-2012/1.0.0/",
        files=(
            RemoteFile("Outcomes-a.txt", "Outcomes-a.txt", 80_000),
            RemoteFile("set-a.tar.gz", "./", 8_000_000),
        ),
        sums="SHA256SUMS.txt",
        citation="Silva et al., Computing in Cardiology 2012; Goldberger et al., Circulation 2000",
    ),
    "mosi": _MMSA,
    "mosei": _MMSA,
    "sims": _MMSA,
    "simsv2": _MMSA,
    "epic": Source(
        "Creative Commons BY-NC 4.0",
        "https://epic-kitchens.github.io",
        by_hand="download the clips of participants P01, P08 and P22 from https://epic-kitchens.github.io and the lists of "
        "https://github.com/jonmun/MM-SADA-code into {folder}; docs/media.md says how they are encoded",
        citation="Damen et al., ECCV 2018; Munro and Damen, CVPR 2020",
    ),
    "hac": Source(
        "for research",
        "https://github.com/donghao51/SimMMDG",
        by_hand="follow the link to the HAC dataset at https://github.com/donghao51/SimMMDG and put clips and lists into {folder}; "
        "docs/media.md says how they are encoded",
        citation="Dong et al., SimMMDG, NeurIPS 2023",
    ),
    "chipsal": _CHIPSAL,
    "chipsal_sentiment": _CHIPSAL,
    "hust": Source(
        "stated by its authors where the data are",
        "https://github.com/CHAOZHAO-1/HUSTmotor-multi-modal-dataset",
        by_hand="follow the link at https://github.com/CHAOZHAO-1/HUSTmotor-multi-modal-dataset and put the recordings into {folder}; "
        "then: mmbench data prepare hust",
        citation="Zhao et al., the HUST motor multimodal dataset",
    ),
    "mimic4": Source(
        "PhysioNet Credentialed Health Data License 1.5.0, with training and a data use agreement",
        "https://physionet.org/content/mimiciv/",
        by_hand="get credentialed access at https://physionet.org/content/mimiciv/, make the pickles with the scripts of FuseMoE, and "
        "put {files} into {folder}; nobody may pass them on",
        citation="Johnson et al., MIMIC-IV, Scientific Data 2023",
    ),
}
