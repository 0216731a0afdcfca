/** The models of a server. */

import { createClient, type Transport } from '@connectrpc/connect';
import type { Caller, CallOptions } from './call.js';
import type { Model as WireModel } from './gen/chatterbox/v1/model_pb.js';
import { ModelsService } from './gen/chatterbox/v1/models_service_pb.js';
import { idOf, resourceName } from './names.js';
import { type NumericOption, numericOptions } from './options.js';
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
  readonly sampleRateHz: number;
  /** The options it knows, each with its default. It ignores those that are not here. */
  readonly defaultOptions: Readonly<Partial<Record<NumericOption, number>>>;
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
    defaultOptions: numericOptions(wire.defaultOptions),
  };
}
