// EXPECT_ERROR(statement, kind, part of the message)
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "fovea/modules/error.h"

#define EXPECT_ERROR(statement, expected_kind, part)                                    \
  try {                                                                                 \
    statement;                                                                          \
    ADD_FAILURE() << #statement " threw nothing";                                       \
  } catch (const fovea::Error& error) {                                                 \
    EXPECT_EQ(error.kind(), expected_kind) << error.what();                             \
    EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr(part));                 \
    EXPECT_THAT(std::string(error.what()), ::testing::Not(::testing::HasSubstr("\n"))); \
  }                                                                                     \
  static_assert(true)
