// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! `oxnic-firmware`: makes packages of firmware for the reference device, for `devlink dev flash`.

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use oxnic_abi::firmware::{FirmwareComponent, VERSION_MAX};
use oxnic_abi::pci::PF_DEVICE_ID;
use oxnic_model::firmware::image::Recipe;
use oxnic_model::firmware::keys::{stranger_key, test_key};
use oxnic_model::firmware::package::{Entry, package};
use oxnic_model::nic::firmware::build::{Behaviour, Build};
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a package of signed firmware images for the Oxnic reference device (PLDM, DMTF DSP0267).
///
/// A build of the pipeline differs in how many steering rules a port can have. Builds are signed with a test key that protects
/// nothing. What a device is to refuse can be made, too.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Version of all components
    #[arg(long, default_value = "1.1.0")]
    version: String,
    /// Components, in their order
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["management", "pipeline", "boot"])]
    components: Vec<Component>,
    /// Security number: a device that has run a build takes none with a lower one
    #[arg(long, default_value_t = 1)]
    security: u32,
    /// Steering rules of a port
    #[arg(long, default_value_t = 2048)]
    rules: u32,
    /// What the builds do when they are started
    #[arg(long, value_enum, default_value = "healthy")]
    behaviour: Behaves,
    /// The builds can take over without a reset
    #[arg(long)]
    live: bool,
    /// Who signs
    #[arg(long, value_enum, default_value = "test")]
    key: Key,
    /// PCI device that the images are for
    #[arg(long, default_value_t = PF_DEVICE_ID)]
    image_device: u16,
    /// PCI device that the package is for
    #[arg(long, default_value_t = PF_DEVICE_ID)]
    device: u16,
    /// Bytes of content of each image
    #[arg(long)]
    content: Option<usize>,
    /// Leaves so many bytes of each image away at its end
    #[arg(long, default_value_t = 0)]
    cut: usize,
    /// Flips the lowest bit of this byte of each image
    #[arg(long)]
    flip: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Component {
    Management,
    Pipeline,
    Boot,
}

impl Component {
    fn of_interface(self) -> FirmwareComponent {
        match self {
            Self::Management => FirmwareComponent::MANAGEMENT,
            Self::Pipeline => FirmwareComponent::PIPELINE,
            Self::Boot => FirmwareComponent::BOOT,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Behaves {
    /// As they should
    Healthy,
    /// Fail their self-test
    SelfTest,
    /// Never get ready
    Hang,
    /// Stop soon after the driver has taken over
    Crash,
}

impl Behaves {
    fn of_build(self) -> Behaviour {
        match self {
            Self::Healthy => Behaviour::Healthy,
            Self::SelfTest => Behaviour::SelfTest,
            Self::Hang => Behaviour::Hang,
            Self::Crash => Behaviour::Crash,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Key {
    /// The key that the reference device trusts
    Test,
    /// A key that it does not
    Stranger,
    /// Nobody
    None,
}

fn run(options: &Options) -> Result<()> {
    ensure!(
        options.version.is_ascii() && options.version.len() <= VERSION_MAX,
        "--version takes at most {VERSION_MAX} ASCII characters"
    );
    let entries: Vec<Entry> = options
        .components
        .iter()
        .map(|component| {
            let usual = Recipe::new(component.of_interface(), &options.version);
            let recipe = Recipe {
                security: options.security,
                device: options.image_device,
                live: options.live,
                build: Build {
                    behaviour: options.behaviour.of_build(),
                    rules: options.rules,
                },
                content: options.content.unwrap_or(usual.content),
                key: match options.key {
                    Key::Test => Some(test_key()),
                    Key::Stranger => Some(stranger_key()),
                    Key::None => None,
                },
                ..usual
            };
            let mut image = recipe.image();
            image.truncate(image.len().saturating_sub(options.cut));
            if let Some(byte) = options.flip.and_then(|at| image.get_mut(at)) {
                *byte ^= 1;
            }
            Entry { recipe, image }
        })
        .collect();
    let package = package(&options.version, options.device, &entries);
    std::fs::write(&options.out, package).with_context(|| options.out.display().to_string())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oxnic-firmware: {error:#}");
            ExitCode::FAILURE
        }
    }
}
