/** The models of a server. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import { durationMs } from './duration.js';
import type {
  Model as WireModel,
  ModelParameter as WireParameter,
} from './gen/chatterbox/v1/model_pb.js';
import { ModelsService } from './gen/chatterbox/v1/models_service_pb.js';
import { idOf, resourceName } from './names.js';
import { isOptionName, type OptionName } from './options.js';
import { allPages } from './pages.js';

/** A model that can be asked to speak. */
export interface Model {
  /** `models/tiny`. */
  readonly name: string;
  /** `tiny`. */
  readonly id: string;
  readonly displayName: string;
  /** What it is good for. May be empty. */
  readonly description: string;
  /** BCP 47 tags of the languages it speaks, in alphabetical order. */
  readonly languageCodes: readonly string[];
  /** Of its audio, where no other rate is asked for. */
  readonly sampleRateHz: number;
  /** The rates its audio can be had in, ascending. */
  readonly outputSampleRatesHz: readonly number[];
  /** The options it knows, in a fixed order. It ignores those that are not here. */
  readonly parameters: readonly ModelParameter[];
  /** Tags that it performs, as they are written in the text: `[laugh]`. Often none. */
  readonly paralinguisticTags: readonly string[];
  /** How long a recording must be at least to make a voice of it. */
  readonly minReferenceMs: number;
  /** Whether it can tell when each word is said. */
  readonly hasWordTimings: boolean;
}

/** An option that a model knows. */
export interface ModelParameter {
  /** Its name in `SynthesisOptions`. */
  readonly option: OptionName;
  readonly minimum: number;
  /** The value must lie above `minimum`, and not on it. */
  readonly isMinimumExclusive: boolean;
  readonly maximum: number;
  /** Only whole numbers will do. */
  readonly isInteger: boolean;
  /** What it is when left out; `undefined` for the seed, which is drawn. */
  readonly defaultValue: number | undefined;
}

/** Tells which models are loaded. */
export interface Models {
  /** All models, in the order of their names. */
  list(options?: CallOptions): Promise<Model[]>;
  /** One model, by name or id; `not-found` if there is none. */
  get(nameOrId: string, options?: CallOptions): Promise<Model>;
}

export function createModels(transport: Transport, caller: Caller): Models {
  const client = createClient(ModelsService, transport);
  return {
    list: (options) =>
      allPages(
        (page) => caller.ask((connect) => client.listModels(page, connect), options),
        (page) => page.models.map(modelOf),
      ),
    get: async (nameOrId, options) => {
      const name = resourceName('models', nameOrId);
      return modelOf(await caller.ask((connect) => client.getModel({ name }, connect), options));
    },
  };
}

function modelOf(wire: WireModel): Model {
  return {
    name: wire.name,
    id: idOf(wire.name),
    displayName: wire.displayName,
    description: wire.description,
    languageCodes: wire.languageCodes,
    sampleRateHz: wire.sampleRateHertz,
    outputSampleRatesHz: wire.outputSampleRatesHertz,
    parameters: wire.parameters.flatMap(parameterOf),
    paralinguisticTags: wire.paralinguisticTags,
    minReferenceMs: durationMs(wire.minReferenceDuration),
    hasWordTimings: wire.wordTimings,
  };
}

/** None for an option of a newer server. */
function parameterOf(wire: WireParameter): ModelParameter[] {
  const option = camelCase(wire.name);
  if (!isOptionName(option)) return [];
  return [
    {
      option,
      minimum: wire.minimum,
      isMinimumExclusive: wire.exclusiveMinimum,
      maximum: wire.maximum,
      isInteger: wire.integer,
      defaultValue: wire.defaultValue,
    },
  ];
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
