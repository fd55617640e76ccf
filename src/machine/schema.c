/* What may stand in a machine file: one line a key. */
#include "machine/schema.h"

#define TEXT(type, member)                                                                                   \
    {                                                                                                        \
#member, TERN_FORM_TEXT, 0, offsetof(type, member)                                                   \
    }
#define TRUTH(type, member)                                                                                  \
    {                                                                                                        \
#member, TERN_FORM_TRUTH, 0, offsetof(type, member)                                                  \
    }
#define AMOUNT(type, member, quantity)                                                                       \
    {                                                                                                        \
#member, TERN_FORM_AMOUNT, quantity, offsetof(type, member)                                          \
    }
#define RATES(key, operation, quantity)                                                                      \
    {                                                                                                        \
        key, TERN_FORM_RATES, quantity,                                                                      \
            offsetof(tern_unit, rate) + (operation) * sizeof(double[TERN_DTYPES])                            \
    }
#define ENERGIES(key, operation)                                                                             \
    {                                                                                                        \
        key, TERN_FORM_ENERGIES, TERN_IN_JOULES,                                                             \
            offsetof(tern_unit, energy) + (operation) * sizeof(double[TERN_DTYPES])                          \
    }

static const tern_field unit_fields[] = {
    TEXT(tern_unit, name),
    {"kind", TERN_FORM_KIND, 0, offsetof(tern_unit, kind)},
    AMOUNT(tern_unit, clock, TERN_IN_HERTZ),
    {"count", TERN_FORM_COUNT, 0, offsetof(tern_unit, count)},
    RATES("mac", TERN_MAC, TERN_IN_MACS),
    RATES("add", TERN_ADD, TERN_IN_ADDS),
    RATES("element", TERN_ELEMENT, TERN_IN_OPERATIONS),
    RATES("special", TERN_SPECIAL, TERN_IN_OPERATIONS),
    ENERGIES("mac_energy", TERN_MAC),
    ENERGIES("add_energy", TERN_ADD),
    ENERGIES("element_energy", TERN_ELEMENT),
    ENERGIES("special_energy", TERN_SPECIAL),
    {"efficiency", TERN_FORM_SHARE, 0, offsetof(tern_unit, efficiency)},
    {"rows", TERN_FORM_COUNT, 0, offsetof(tern_unit, rows)},
    {"columns", TERN_FORM_COUNT, 0, offsetof(tern_unit, columns)},
    {"dataflow", TERN_FORM_DATAFLOW, 0, offsetof(tern_unit, dataflow)},
    AMOUNT(tern_unit, cell_access, TERN_IN_JOULES),
    AMOUNT(tern_unit, hop, TERN_IN_JOULES),
    AMOUNT(tern_unit, core_memory, TERN_IN_BYTES),
    {"core_neurons", TERN_FORM_COUNT, 0, offsetof(tern_unit, core_neurons)},
    {"core_axons", TERN_FORM_COUNT, 0, offsetof(tern_unit, core_axons)},
    AMOUNT(tern_unit, neuron_memory, TERN_IN_BYTES),
    TRUTH(tern_unit, shared_weights),
    {"tile", TERN_FORM_COUNT, 0, offsetof(tern_unit, tile)},
    {"mesh", TERN_FORM_COUNT, 0, offsetof(tern_unit, mesh)},
    AMOUNT(tern_unit, message, TERN_IN_SECONDS),
    AMOUNT(tern_unit, hop_time, TERN_IN_SECONDS),
    AMOUNT(tern_unit, barrier, TERN_IN_SECONDS),
    AMOUNT(tern_unit, tick, TERN_IN_SECONDS),
    TEXT(tern_unit, source),
    TRUTH(tern_unit, recalled),
};

static const tern_field tier_fields[] = {
    TEXT(tern_tier, name),
    AMOUNT(tern_tier, size, TERN_IN_BYTES),
    AMOUNT(tern_tier, bandwidth, TERN_IN_BYTES_PER_SECOND),
    AMOUNT(tern_tier, latency, TERN_IN_SECONDS),
    AMOUNT(tern_tier, read, TERN_IN_JOULES_PER_BYTE),
    AMOUNT(tern_tier, write, TERN_IN_JOULES_PER_BYTE),
    AMOUNT(tern_tier, leakage, TERN_IN_WATTS),
    {"efficiency", TERN_FORM_SHARE, 0, offsetof(tern_tier, efficiency)},
    TRUTH(tern_tier, persistent),
    TEXT(tern_tier, source),
    TRUTH(tern_tier, recalled),
};

static const tern_field link_fields[] = {
    TEXT(tern_link, name),
    AMOUNT(tern_link, bandwidth, TERN_IN_BYTES_PER_SECOND),
    AMOUNT(tern_link, latency, TERN_IN_SECONDS),
    AMOUNT(tern_link, start, TERN_IN_SECONDS),
    {"efficiency", TERN_FORM_SHARE, 0, offsetof(tern_link, efficiency)},
    AMOUNT(tern_link, energy, TERN_IN_JOULES_PER_BYTE),
    TRUTH(tern_link, host),
    TEXT(tern_link, source),
    TRUTH(tern_link, recalled),
};

static const tern_field body_fields[] = {
    TEXT(tern_body, name),
    AMOUNT(tern_body, capacity, TERN_IN_JOULES_PER_KELVIN),
    AMOUNT(tern_body, resistance, TERN_IN_KELVIN_PER_WATT),
    TEXT(tern_body, source),
    TRUTH(tern_body, recalled),
};

#define NUMBER(type, member)                                                                                 \
    {                                                                                                        \
#member, TERN_FORM_NUMBER, 0, offsetof(type, member)                                                 \
    }

static const tern_field measured_fields[] = {
    TEXT(tern_measured, name),      TEXT(tern_measured, source),  TEXT(tern_measured, unit),
    NUMBER(tern_measured, median),  NUMBER(tern_measured, lower), NUMBER(tern_measured, upper),
    NUMBER(tern_measured, threads), NUMBER(tern_measured, runs),
};

static const tern_field kernel_fields[] = {
    TEXT(tern_kernel_point, name),
    TEXT(tern_kernel_point, source),
    TEXT(tern_kernel_point, kernel),
    NUMBER(tern_kernel_point, m),
    NUMBER(tern_kernel_point, n),
    NUMBER(tern_kernel_point, k),
    NUMBER(tern_kernel_point, count),
    {"density", TERN_FORM_SHARE, 0, offsetof(tern_kernel_point, density)},
    NUMBER(tern_kernel_point, bytes),
    NUMBER(tern_kernel_point, written),
    NUMBER(tern_kernel_point, operations),
    NUMBER(tern_kernel_point, spread),
    AMOUNT(tern_kernel_point, median, TERN_IN_SECONDS),
    AMOUNT(tern_kernel_point, lower, TERN_IN_SECONDS),
    AMOUNT(tern_kernel_point, upper, TERN_IN_SECONDS),
    AMOUNT(tern_kernel_point, far, TERN_IN_SECONDS),
    AMOUNT(tern_kernel_point, far_lower, TERN_IN_SECONDS),
    AMOUNT(tern_kernel_point, far_upper, TERN_IN_SECONDS),
};

/* Values of KIND, in the order of tern_unit_kind. */
const char *const tern_unit_kind_names[TERN_UNIT_KINDS] = {"simd",     "matrix", "systolic",
                                                           "crossbar", "event",  "pim"};

/* Values of DATAFLOW, in the order of tern_dataflow. */
const char *const tern_dataflow_names[TERN_DATAFLOWS] = {"weight-stationary", "output-stationary",
                                                         "input-stationary", "row-stationary", "broadcast"};

const tern_list tern_lists[TERN_LISTS] = {
    [TERN_LIST_UNITS] = {"unit", unit_fields, TERN_COUNT(unit_fields), sizeof(tern_unit),
                         offsetof(tern_machine, units), offsetof(tern_machine, unit_count), false},
    [TERN_LIST_TIERS] = {"memory", tier_fields, TERN_COUNT(tier_fields), sizeof(tern_tier),
                         offsetof(tern_machine, tiers), offsetof(tern_machine, tier_count), false},
    [TERN_LIST_LINKS] = {"link", link_fields, TERN_COUNT(link_fields), sizeof(tern_link),
                         offsetof(tern_machine, links), offsetof(tern_machine, link_count), false},
    [TERN_LIST_BODIES] = {"body", body_fields, TERN_COUNT(body_fields), sizeof(tern_body),
                          offsetof(tern_machine, bodies), offsetof(tern_machine, body_count), false},
    [TERN_LIST_MEASURED] = {"measured", measured_fields, TERN_COUNT(measured_fields), sizeof(tern_measured),
                            offsetof(tern_machine, measured), offsetof(tern_machine, measured_count), true},
    [TERN_LIST_KERNELS] = {"kernel", kernel_fields, TERN_COUNT(kernel_fields), sizeof(tern_kernel_point),
                           offsetof(tern_machine, kernels), offsetof(tern_machine, kernel_count), true},
};

static const tern_field machine_fields[] = {
    TEXT(tern_machine, name),
    TEXT(tern_machine, about),
    TEXT(tern_machine, source),
    TRUTH(tern_machine, recalled),
    {"inherits", TERN_FORM_INHERITS, 0, 0},
    {"units", TERN_FORM_LIST, TERN_LIST_UNITS, 0},
    {"memories", TERN_FORM_LIST, TERN_LIST_TIERS, 0},
    {"links", TERN_FORM_LIST, TERN_LIST_LINKS, 0},
    {"bodies", TERN_FORM_LIST, TERN_LIST_BODIES, 0},
    {"measured", TERN_FORM_LIST, TERN_LIST_MEASURED, 0},
    {"kernels", TERN_FORM_LIST, TERN_LIST_KERNELS, 0},
    AMOUNT(tern_machine, air, TERN_IN_CELSIUS),
    AMOUNT(tern_machine, trip, TERN_IN_CELSIUS),
    AMOUNT(tern_machine, hysteresis, TERN_IN_KELVIN),
    {"clock_step", TERN_FORM_SHARE, 0, offsetof(tern_machine, clock_step)},
    {"least_clock", TERN_FORM_SHARE, 0, offsetof(tern_machine, least_clock)},
    AMOUNT(tern_machine, idle, TERN_IN_WATTS),
    AMOUNT(tern_machine, launch, TERN_IN_SECONDS),
    AMOUNT(tern_machine, meeting, TERN_IN_SECONDS),
    AMOUNT(tern_machine, near, TERN_IN_BYTES),
    NUMBER(tern_machine, threads),
    AMOUNT(tern_machine, power, TERN_IN_WATTS),
};

const tern_list tern_machine_keys = {
    "machine", machine_fields, TERN_COUNT(machine_fields), sizeof(tern_machine), 0, 0, false};
