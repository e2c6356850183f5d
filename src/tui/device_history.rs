//! What the devices report over time, as this window has seen it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::protocol::snapshot::DeviceState;

/// The time between two samples: seldom enough that moving charts cost little over a slow connection.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// Half an hour.
const MAX_SAMPLES: usize = 360;

/// A value of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Metric {
    Busy,
    ClipRate,
    Decoder,
    Memory,
    Temperature,
    Power,
}

impl Metric {
    /// In the order of the charts.
    pub(super) const ALL: [Self; 6] =
        [Self::Busy, Self::ClipRate, Self::Decoder, Self::Memory, Self::Temperature, Self::Power];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Busy => "Utilisation",
            Self::ClipRate => "Throughput",
            Self::Decoder => "Video decoder",
            Self::Memory => "Memory",
            Self::Temperature => "Temperature",
            Self::Power => "Power",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Busy | Self::Decoder => "%",
            Self::ClipRate => "clips/s",
            Self::Memory => "GB",
            Self::Temperature => "°C",
            Self::Power => "W",
        }
    }

    /// The upper end of the axis; `None` where the values decide.
    pub(super) fn full(self, device: &DeviceState) -> Option<f64> {
        match self {
            Self::Busy | Self::Decoder | Self::Temperature => Some(100.0),
            Self::Memory => device.gauges.memory.map(|[_, all]| all as f64 / 1e9),
            Self::ClipRate | Self::Power => None,
        }
    }

    fn of(self, device: &DeviceState) -> Option<f32> {
        let gauges = &device.gauges;
        match self {
            Self::Busy => gauges.busy_percent,
            Self::ClipRate => device.clips_per_s.map(|rate| rate as f32),
            Self::Decoder => gauges.decoder_percent,
            Self::Memory => gauges.memory.map(|[used, _]| (used as f64 / 1e9) as f32),
            Self::Temperature => gauges.temperature_c,
            Self::Power => gauges.power_w,
        }
    }
}

/// The samples of one device, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceHistory(VecDeque<[Option<f32>; Metric::ALL.len()]>);

impl DeviceHistory {
    pub(super) fn add(&mut self, device: &DeviceState) {
        if self.0.len() >= MAX_SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(Metric::ALL.map(|metric| metric.of(device)));
    }

    /// The values of a metric, oldest first.
    pub(super) fn values(&self, metric: Metric) -> Vec<Option<f32>> {
        self.0.iter().map(|sample| sample.get(metric as usize).copied().flatten()).collect()
    }

    /// Whether the device has ever reported the metric.
    pub(super) fn has(&self, metric: Metric) -> bool {
        self.values(metric).iter().any(Option::is_some)
    }

    /// How busy the device was: percent, or clips per second where it does not report that.
    pub(super) fn activity(&self) -> Vec<Option<f32>> {
        self.values(if self.has(Metric::Busy) { Metric::Busy } else { Metric::ClipRate })
    }
}
