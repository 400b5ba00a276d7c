"""Training of the small model, stage by stage: autoencoder, body, face, joint, and the LoRAs on top."""
