"""What a run leaves behind."""
def write_outputs(trainer, evaluation):
    output = trainer.recipe.output_dir
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(output)
