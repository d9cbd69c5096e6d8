"""Small fastMRI and ISMRMRD files, made for each test, and the one series of a study."""

from pathlib import Path

import h5py
import numpy as np
import pytest

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientName>Doe^Jane</patientName><patientID>4711</patientID></subjectInformation>
<studyInformation><studyTime>12:34:56</studyTime></studyInformation>
<measurementInformation><measurementID>45_98_123</measurementID><patientPosition>HFS</patientPosition>
<protocolName>AXT2</protocolName><frameOfReferenceUID>1.3.12.2.1107</frameOfReferenceUID></measurementInformation>
<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor><systemModel>Aera</systemModel>
<systemFieldStrength_T>1.494</systemFieldStrength_T><receiverChannels>4</receiverChannels>
<coilLabel><coilNumber>1</coilNumber><coilName>HE1</coilName></coilLabel>
<coilLabel><coilNumber>2</coilNumber><coilName>HE2</coilName></coilLabel>
<institutionName>NYU</institutionName></acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>63646353</H1resonanceFrequency_Hz></experimentalConditions>
<encoding>
<encodedSpace><matrixSize><x>{encoded_x}</x><y>{encoded_y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>440</x><y>300</y><z>7.5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{recon_x}</x><y>{recon_y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>220</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{maximum}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits>
<trajectory>cartesian</trajectory><echoTrainLength>9</echoTrainLength></encoding>
<sequenceParameters><TR>6000</TR><TE>120</TE><TI>100</TI><flipAngle_deg>150</flipAngle_deg>
<sequence_type>TurboSpinEcho</sequence_type></sequenceParameters>
<userParameters><userParameterLong><name>lRefs</name><value>24</value></userParameterLong></userParameters>
</ismrmrdHeader>"""


@pytest.fixture
def header():
    """Make an ISMRMRD header: of a 64 × 48 acquisition whose image is 32 × 32, unless told otherwise."""
    defaults = {"encoded_x": 64, "encoded_y": 48, "recon_x": 32, "recon_y": 32, "maximum": 47, "centre": 24}
    return lambda **values: HEADER.format(**(defaults | values))


@pytest.fixture
def noise():
    """Make complex white noise: like measured k-space, it is zero nowhere."""

    def _noise(*shape, seed=0):
        rng = np.random.default_rng(seed)
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)

    return _noise


@pytest.fixture
def write(tmp_path):
    """Write an HDF5 file: datasets by name, attributes in a dictionary; gives its path."""

    def _write(name="file1000000.h5", attributes=None, **datasets):
        path = Path(tmp_path, name)
        with h5py.File(path, "w") as file:
            for key, value in datasets.items():
                file[key] = value
            file.attrs.update(attributes or {})
        return path

    return _write


@pytest.fixture
def real_brain():
    """A real scan: human brain, 2 coils, 128 × 128."""
    return Path(__file__).parents[2] / "data" / "real_brain_2ch_gre.h5"


@pytest.fixture
def only():
    """Give the function that takes the one series of a study."""

    def only(study):
        assert len(study.series) == 1, [series.title for series in study.series]
        return study.series[0]

    return only


COUNTERS = (
    "kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition", "set",
    "segment",
)  # fmt: skip
HEAD = np.dtype([
    ("version", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4"), ("scan_counter", "<u4"),
    ("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", (3,)), ("number_of_samples", "<u2"),
    ("available_channels", "<u2"), ("active_channels", "<u2"), ("channel_mask", "<u8", (16,)), ("discard_pre", "<u2"),
    ("discard_post", "<u2"), ("center_sample", "<u2"), ("encoding_space_ref", "<u2"), ("trajectory_dimensions", "<u2"),
    ("sample_time_us", "<f4"), ("position", "<f4", (3,)), ("read_dir", "<f4", (3,)), ("phase_dir", "<f4", (3,)),
    ("slice_dir", "<f4", (3,)), ("patient_table_position", "<f4", (3,)),
    ("idx", [*((name, "<u2") for name in COUNTERS), ("user", "<u2", (8,))]),
    ("user_int", "<i4", (8,)), ("user_float", "<f4", (8,)),
])  # fmt: skip
FLOATS = h5py.vlen_dtype(np.dtype("<f4"))
ACQUISITION = np.dtype([("head", HEAD), ("traj", FLOATS), ("data", FLOATS)])


@pytest.fixture
def readout():
    """Make one acquisition of ISMRMRD: its header, which a test may change, and its samples ``(coil, sample)``."""

    def _readout(samples, step_1=0, *flags, **values):
        head = np.zeros((), HEAD)
        n_coils, n_samples = samples.shape
        head["version"], head["sample_time_us"] = 1, 5
        head["number_of_samples"], head["center_sample"] = n_samples, n_samples // 2
        head["active_channels"] = head["available_channels"] = n_coils
        head["idx"]["kspace_encode_step_1"] = step_1
        head["flags"] = sum(1 << (flag - 1) for flag in flags)
        for name, value in values.items():
            (head["idx"] if name in COUNTERS else head)[name] = value
        return head, np.ascontiguousarray(samples, np.complex64)

    return _readout


@pytest.fixture
def readouts(readout):
    """Make the acquisitions of k-space ``(slices, coils, y, x)``, axial slices one above the other."""

    def _readouts(kspace, *flags, columns=None, gap_mm=6.0, **values):
        found = []
        for number, slice_ in enumerate(kspace):
            placed = {
                "slice": number, "position": (0, 0, gap_mm * number), "read_dir": (0, 1, 0), "phase_dir": (1, 0, 0),
                "slice_dir": (0, 0, 1),
            }  # fmt: skip
            columns_here = range(kspace.shape[-1]) if columns is None else columns
            found += [readout(slice_[:, :, column], column, *flags, **(placed | values)) for column in columns_here]
        return found

    return _readouts


@pytest.fixture
def raw_header():
    """Make the XML header of a Cartesian scan of so many samples and phase encodes, in pixels of 2 × 3 × 5 mm."""

    def _raw_header(
        encoded, recon=None, limits=None, trajectory="cartesian", partition_limits=None, more="", pixel_mm=(2, 3, 5)
    ):
        def space(size):
            size = (*size, 1)[:3]
            parts = {"matrixSize": size, "fieldOfView_mm": [n * mm for n, mm in zip(size, pixel_mm, strict=True)]}
            axes = {
                key: "".join(f"<{a}>{v}</{a}>" for a, v in zip("xyz", part, strict=True)) for key, part in parts.items()
            }
            return "".join(f"<{key}>{text}</{key}>" for key, text in axes.items())

        def limit(step, bounds):
            if bounds is None:
                return ""
            centre, maximum = bounds
            return f"<{step}><minimum>0</minimum><maximum>{maximum}</maximum><center>{centre}</center></{step}>"

        limits = (encoded[1] // 2, encoded[1] - 1) if limits is None else limits
        return f"""<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
        <subjectInformation><patientName>Doe^Jane</patientName><patientID>4711</patientID></subjectInformation>
        <measurementInformation><measurementID>45_98_123</measurementID><patientPosition>HFS</patientPosition>
        <protocolName>flash</protocolName></measurementInformation>
        <experimentalConditions><H1resonanceFrequency_Hz>63646353</H1resonanceFrequency_Hz></experimentalConditions>
        <encoding><encodedSpace>{space(encoded)}</encodedSpace><reconSpace>{space(recon or encoded)}</reconSpace>
        <encodingLimits>{limit("kspace_encoding_step_1", limits or None)}
        {limit("kspace_encoding_step_2", partition_limits)}</encodingLimits>
        <trajectory>{trajectory}</trajectory></encoding>{more}
        <sequenceParameters><TR>500</TR><TE>5</TE><TE>12</TE></sequenceParameters></ismrmrdHeader>"""

    return _raw_header


@pytest.fixture
def write_raw(tmp_path):
    """Write acquisitions in the ISMRMRD layout with plain h5py; gives the path."""

    def _write_raw(found, xml, name="raw.h5", group="dataset", **keywords):
        table = np.zeros(len(found), ACQUISITION)
        for number, (head, samples) in enumerate(found):
            table[number]["head"] = head
            table[number]["traj"] = np.zeros(0, np.float32)
            table[number]["data"] = samples.view(np.float32).ravel()
        path = Path(tmp_path, name)
        with h5py.File(path, "a") as file:
            container = file.require_group(group)
            keywords = {"chunks": (16,), "maxshape": (None,)} | keywords
            container.create_dataset("data", data=table, **keywords)
            if xml is not None:
                container.create_dataset("xml", (1,), h5py.vlen_dtype(bytes))[0] = xml
        return path

    return _write_raw


@pytest.fixture
def scan(readouts, raw_header, noise):
    """Give a small scan of ISMRMRD: its acquisitions, its XML header and its k-space."""
    kspace = noise(3, 2, 32, 20)
    return readouts(kspace), raw_header((32, 20)), kspace
