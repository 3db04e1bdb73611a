/**
 * Cases of the table on which we knowingly differ from Python: by refusing, never by another value.
 * @module
 */

/** Why, and which cases. */
export const REFUSALS: Readonly<Record<string, readonly string[]>> = {
  "dyn() lets values of different types meet; here all types are known when compiling, and it changes nothing": [
    "uint-024",
    "uint-025",
    "uint-026",
    "uint-029",
    "double-017",
    "double-020",
    "double-021",
    "double-022",
    "double-024",
    "conversion-135",
    "conversion-141",
    "logic-027",
    "logic-030",
    "collections-008",
    "collections-014",
    "collections-021",
    "collections-082",
    "collections-084",
    "collections-085",
    "check-027",
    "check-075",
    "check-076",
    "check-077",
  ],
  "lists and maps whose members have several types are dyn in disguise": [
    "collections-015",
    "collections-016",
    "collections-041",
    "collections-086",
    "collections-087",
    "collections-089",
    "collections-090",
    "check-078",
  ],
  "names of time zones need a database of time zones, whose versions differ": [
    "time-002",
    "time-004",
    "time-006",
    "time-008",
    "time-010",
    "time-012",
    "time-014",
    "time-016",
    "time-018",
    "time-020",
    "time-030",
    "time-031",
    "time-102",
    "time-103",
  ],
  "a regular expression that RE2 refuses when evaluating is refused when compiling": [
    "string-022",
    "string-023",
    "string-033",
  ],
  "Unicode properties depend on the version of Unicode": ["string-028"],
  "\\Q…\\E has no counterpart and can be written otherwise": ["string-036"],
  "what fails for every row is refused when compiling": ["conversion-007", "collections-037"],
  "the sign of a NaN, which string() shows in C++, cannot be seen in JavaScript": ["conversion-030", "conversion-163"],
  "the order of a map's keys is not certain": ["collections-058"],
  "messages of protocol buffers have no use in routing": ["check-084", "check-085"],
};

/** Cases that bind a double to a column of integers: 5.0 and 5 are one value in JavaScript. */
export const INDISTINGUISHABLE: readonly string[] = ["bindings-005", "bindings-011"];
