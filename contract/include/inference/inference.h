// The whole contract.
#pragma once

#include "inference/attention.h"
#include "inference/backend.h"
#include "inference/config.h"
#include "inference/discover.h"
#include "inference/error.h"
#include "inference/plugin.h"
#include "inference/registry.h"
#include "inference/scoring.h"
#include "inference/text_model.h"
#include "inference/token_stream.h"
#include "inference/training.h"
