//! `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1): what a decoder of MPEG-4 audio is told once, read as far as it says
//! what comes out of the decoder. HE-AAC says so in two ways: before the core codec's configuration, or behind it, where
//! older decoders don't look.

/// Audio object types (§1.5.1.1).
const SBR: u32 = 5;
const BSAC: u32 = 22;
const PS: u32 = 29;
/// Sampling frequencies by their index (§1.6.3.4).
const RATES_HZ: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Channels by their configuration (§1.6.3.5); 0 where it lists them elsewhere or is reserved.
const CHANNELS: [u16; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0];
/// What announces SBR, and behind that parametric stereo (§1.6.2.1).
const SBR_SYNC: u32 = 0x2b7;
const PS_SYNC: u32 = 0x548;

/// What comes out of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AudioSpecificConfig {
    /// Audio object type: 2 is AAC-LC, 5 HE-AAC, 29 HE-AAC v2.
    pub(super) object_type: u32,
    /// Samples a second, after SBR; `None` where it isn't said.
    pub(super) sample_rate_hz: Option<u32>,
    /// Channels, after parametric stereo; `None` where it lists them one by one.
    pub(super) channels: Option<u16>,
}

impl AudioSpecificConfig {
    /// Reads as much as there is; `None` if that is not even an object type.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes, at: 0 };
        let stated = bits.object_type()?;
        let mut config = Self { object_type: stated, sample_rate_hz: None, channels: None };
        // What stands before a configuration's end is what it says.
        let _ = config.read_rest(&mut bits);
        if config.object_type == PS {
            config.channels = config.channels.map(|channels| channels.max(2));
        }
        Some(config)
    }

    fn read_rest(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.sample_rate_hz = bits.rate_hz()?;
        let configuration = bits.take(4)?;
        self.channels = CHANNELS.get(usize::try_from(configuration).ok()?).copied().filter(|channels| *channels > 0);
        match self.object_type {
            SBR | PS => {
                self.sample_rate_hz = bits.rate_hz()?;
                if bits.object_type()? == BSAC {
                    bits.take(4)?;
                }
            }
            // The configuration of AAC Main, LC, SSR and LTP (§4.4.1), which has one length where channels are numbered.
            1..=4 if configuration > 0 => {
                let _frame_length = bits.take(1)?;
                if bits.take(1)? == 1 {
                    let _core_coder_delay = bits.take(14)?;
                }
                let _extension = bits.take(1)?;
                if bits.take(11)? == SBR_SYNC && bits.object_type()? == SBR && bits.take(1)? == 1 {
                    let rate_hz = bits.rate_hz()?;
                    (self.object_type, self.sample_rate_hz) = (SBR, rate_hz);
                    if bits.take(11)? == PS_SYNC && bits.take(1)? == 1 {
                        self.object_type = PS;
                    }
                }
            }
            _ => {}
        }
        Some(())
    }
}

/// Bits, the highest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |number, _| {
            let byte = *self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at = self.at.saturating_add(1);
            Some(number << 1 | u32::from(bit))
        })
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(self.take(6)?.saturating_add(32)),
            object_type => Some(object_type),
        }
    }

    /// A frequency by its index, or written out; the inner `None` for an index that is reserved.
    fn rate_hz(&mut self) -> Option<Option<u32>> {
        match self.take(4)? {
            15 => Some(Some(self.take(24)?)),
            index => Some(usize::try_from(index).ok().and_then(|index| RATES_HZ.get(index)).copied()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (u32, Option<u32>, Option<u16>) {
        let config = AudioSpecificConfig::read(bytes).unwrap();
        (config.object_type, config.sample_rate_hz, config.channels)
    }

    #[test]
    fn plain_aac_is_what_it_says() {
        assert_eq!(read(&[0x11, 0x90]), (2, Some(48_000), Some(2)));
        assert_eq!(read(&[0x12, 0x08]), (2, Some(44_100), Some(1)));
        // 5.1 is six channels, and configuration 7 eight.
        assert_eq!(read(&[0x11, 0xb0]), (2, Some(48_000), Some(6)));
        assert_eq!(read(&[0x11, 0xb8]), (2, Some(48_000), Some(8)));
        // Channels that are listed one by one, and a frequency that is written out: 48,001.
        assert_eq!(read(&[0x11, 0x80, 0x04]), (2, Some(48_000), None));
        assert_eq!(read(&[0x17, 0x80, 0x5d, 0xc0, 0x90]), (2, Some(48_001), Some(2)));
        // An object type above 31.
        assert_eq!(read(&[0xf9, 0x46, 0x40]), (42, Some(48_000), Some(2)));
    }

    #[test]
    fn he_aac_said_before_the_core_is_told_with_its_output() {
        // SBR over AAC-LC of 22.05 kHz in stereo: 44.1 kHz come out.
        assert_eq!(read(&[0x2b, 0x92, 0x08, 0x00]), (5, Some(44_100), Some(2)));
        // Parametric stereo over mono: two channels come out.
        assert_eq!(read(&[0xeb, 0x8a, 0x08, 0x00]), (29, Some(44_100), Some(2)));
        // SBR alone leaves mono what it is.
        assert_eq!(read(&[0x2b, 0x8a, 0x08, 0x00]), (5, Some(44_100), Some(1)));
    }

    #[test]
    fn he_aac_said_behind_the_core_is_told_with_its_output() {
        assert_eq!(read(&[0x13, 0x90, 0x56, 0xe5, 0xa0]), (5, Some(44_100), Some(2)));
        assert_eq!(read(&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80]), (29, Some(44_100), Some(2)));
        // The same with "no parametric stereo", and with "no SBR", which is plain AAC.
        assert_eq!(read(&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x00]), (5, Some(44_100), Some(1)));
        assert_eq!(read(&[0x11, 0x90, 0x56, 0xe5, 0x00]), (2, Some(48_000), Some(2)));
        // Padding behind the core is no announcement.
        assert_eq!(read(&[0x13, 0x90, 0x00, 0x00, 0x00]), (2, Some(22_050), Some(2)));
    }

    #[test]
    fn what_is_cut_off_says_what_stands_before_the_cut() {
        assert_eq!(AudioSpecificConfig::read(&[]), None);
        assert_eq!(read(&[0x13]), (2, None, None));
        assert_eq!(read(&[0x13, 0x90, 0x56, 0xe5]), (2, Some(22_050), Some(2)));
        assert_eq!(read(&[0x2b, 0x92]), (5, Some(22_050), Some(2)));
        assert_eq!(AudioSpecificConfig::read(&[0xff]), None);
    }
}
