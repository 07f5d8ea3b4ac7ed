//! Vectors and queries to be searched for: mixtures whose parts differ in size and shape, with norms of every kind.

/// Numbers that look random, the same in every run.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// From 0 to 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How long vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norms {
    /// As the mixture makes them.
    Plain,
    /// All 1.
    Equal,
    /// Times a log-normal number: the longest are a thousand times as long as the shortest.
    LogNormal,
    /// Evenly over eight orders of magnitude.
    EightOrders,
}

/// A vector, and the part of the mixture that it is from.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) vector: Vec<f32>,
    pub(crate) part: usize,
}

/// One part: most of its spread is along a few directions.
struct Part {
    center: Vec<f64>,
    directions: Vec<Vec<f64>>,
}

/// Parts, of which the later are chosen less often.
pub(crate) struct Mixture {
    parts: Vec<Part>,
    norms: Norms,
    chance: Chance,
}

pub(crate) const PARTS: usize = 40;
const DIRECTIONS: usize = 10;

impl Mixture {
    pub(crate) fn new(dimension: usize, norms: Norms, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut vector = |by: f64| -> Vec<f64> { (0..dimension).map(|_| by * chance.normal()).collect() };
        let part = |_| Part { center: vector(1.0), directions: (0..DIRECTIONS).map(|n| vector(0.5 / (1.0 + n as f64).sqrt())).collect() };
        let parts = (0..PARTS).map(part).collect();
        Self { parts, norms, chance }
    }

    /// The next one.
    pub(crate) fn draw(&mut self) -> Row {
        let at = self.chance.uniform();
        let number = ((at * at) * PARTS as f64) as usize;
        let part = &self.parts[number];
        let mut values = part.center.clone();
        for direction in &part.directions {
            let by = self.chance.normal();
            values.iter_mut().zip(direction).for_each(|(value, along)| *value += by * along);
        }
        values.iter_mut().for_each(|value| *value += 0.2 * self.chance.normal());
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let by = match self.norms {
            Norms::Plain => 1.0,
            Norms::Equal => 1.0 / norm,
            Norms::LogNormal => self.chance.normal().exp() / norm,
            Norms::EightOrders => 10f64.powf(8.0 * self.chance.uniform() - 4.0) / norm,
        };
        Row { vector: values.iter().map(|value| (value * by) as f32).collect(), part: number }
    }

    pub(crate) fn some(&mut self, count: usize) -> Vec<Row> {
        (0..count).map(|_| self.draw()).collect()
    }

    /// The parts by their distance from the one that a row is of, farthest first.
    pub(crate) fn far_from(&self, part: usize) -> Vec<usize> {
        let own = &self.parts[part].center;
        let distance = |n: usize| self.parts[n].center.iter().zip(own).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let mut order: Vec<usize> = (0..PARTS).collect();
        order.sort_by(|a, b| distance(*b).total_cmp(&distance(*a)));
        order
    }
}
