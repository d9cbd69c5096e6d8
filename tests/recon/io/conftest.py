"""Small fastMRI files, made for each test, and the one series of a study."""

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
<fieldOfView_mm><x>440</x><y>220</y><z>7.5</z></fieldOfView_mm></encodedSpace>
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
